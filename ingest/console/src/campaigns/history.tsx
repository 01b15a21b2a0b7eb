// Every change of a campaign with what it changed, and the way back.
import { useState } from "preact/hooks";
import { get, path, post, Refused } from "../api";
import { useLoad } from "../loading";
import { confirm } from "../shell/dialog";
import { complain, notify } from "../shell/notices";
import { Act, Card, Empty, More, Show, Tag, Time } from "../shell/pieces";
import type { Campaign, Change } from "../types";
import { Differences, differences } from "./diff";

interface Listed {
  history: Change[];
  next_cursor: string | null;
}

const ACTIONS: Record<string, string> = { create: "created", change: "changed", restore: "restored", delete: "deleted" };

export function History({ id, version, onRestored }: { id: string; version?: number; onRestored: (campaign: Campaign) => void }) {
  const [turn, setTurn] = useState(0);
  const address = path("v1", "admin", "campaigns", id, "history");
  const list = useLoad((signal) => get<Listed>(address, { signal }), [id, version, turn]);
  const more = async () => {
    const page = await get<Listed>(address, { query: { cursor: list.data?.next_cursor } });
    list.set({ ...page, history: [...(list.data?.history ?? []), ...page.history] });
  };
  const restore = async (change: Change) => {
    const sure = await confirm({
      title: `Go back to version ${change.version}?`,
      text: "The campaign becomes what it was then, as a new version. Nothing of its history is lost.",
      action: "Restore",
    });
    if (!sure) return;
    try {
      const restored = await post<Campaign>(path("v1", "admin", "campaigns", id, "restore"), { version: change.version }, version === undefined ? {} : { version });
      notify(`Version ${change.version} is in force again.`);
      onRestored(restored);
    } catch (error) {
      complain(error instanceof Refused && error.status === 412 ? new Error("Somebody changed it meanwhile: look at the latest version first.") : error);
    }
    setTurn((n) => n + 1);
  };
  return (
    <Show loaded={list} rows={5}>
      {({ history, next_cursor }) =>
        history.length === 0 ? (
          <Empty title="No change is recorded." />
        ) : (
          <ol class="history">
            {history.map((change, n) => (
              <li key={change.version}>
                <Card>
                  <div class="card-head">
                    <h2>
                      Version {change.version} <Tag>{ACTIONS[change.action] ?? change.action}</Tag>
                    </h2>
                    {(n > 0 || version === undefined) && change.after && (
                      <Act aria-label={`Restore version ${change.version}`} onAct={() => restore(change)}>
                        Restore
                      </Act>
                    )}
                  </div>
                  <p class="hint">
                    by {change.by}, <Time at={change.at} />
                  </p>
                  {change.before && change.after ? (
                    <Differences of={differences(change.before, change.after)} none="Nothing in it differs." />
                  ) : (
                    <details>
                      <summary>{change.after ? "What it was created as" : "What was deleted"}</summary>
                      <pre class="json" tabIndex={0} role="region" aria-label={`Document of version ${change.version}`}>
                        {JSON.stringify(change.after ?? change.before, null, 2)}
                      </pre>
                    </details>
                  )}
                </Card>
              </li>
            ))}
            <More cursor={next_cursor} onMore={more} />
          </ol>
        )
      }
    </Show>
  );
}
