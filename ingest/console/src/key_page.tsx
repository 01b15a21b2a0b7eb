// The first page of a tab: asks for an admin key and tries it before it is kept.
import { useState } from "preact/hooks";
import { get, Refused } from "./api";
import { begin, whyEnded } from "./session";
import { Field } from "./shell/pieces";

export function KeyPage() {
  const [key, setKey] = useState("");
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const enter = async (event: Event) => {
    event.preventDefault();
    const entered = key.trim();
    if (!entered) return setWrong("Enter a key first.");
    if (/[^\x21-\x7e]/.test(entered)) return setWrong("A key has no blanks and no letters beyond ASCII: copy it again.");
    setBusy(true);
    try {
      await get("v1/admin/status", { key: entered });
      begin(entered);
    } catch (error) {
      setWrong(explain(error));
      setBusy(false);
    }
  };
  const why = whyEnded();
  return (
    <main class="key-page">
      <form class="card" onSubmit={enter}>
        <h1>
          <img src="console/icon.svg" alt="" width="32" height="32" /> Console
        </h1>
        {why && (
          <p class="why" role="status">
            {why}
          </p>
        )}
        <Field label="Admin key" error={wrong} hint="It stays in this tab and goes when the tab is closed.">
          {(props) => (
            <input
              {...props}
              type="password"
              autocomplete="off"
              spellcheck={false}
              autofocus
              value={key}
              onInput={(e) => setKey(e.currentTarget.value)}
            />
          )}
        </Field>
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Asking…" : "Open the console"}
        </button>
        <p class="hint">
          After <code>./deploy/up</code> on your own machine it is <code>dev-admin-key</code>; elsewhere whoever runs the service
          makes one.
        </p>
      </form>
    </main>
  );
}

function explain(error: unknown): string {
  if (!(error instanceof Refused)) return String(error);
  if (error.status === 401) return "The server does not know this key.";
  if (error.status === 403) return "This key may send events, but not administer. Enter an admin key.";
  return error.message;
}
