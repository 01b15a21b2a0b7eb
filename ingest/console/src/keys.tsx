// Keys of the table: made, limited and revoked. A key itself is shown once, when it is made.
import { useState } from "preact/hooks";
import { call, get, path, post, Refused } from "./api";
import { bytes, count, duration } from "./format";
import { useLoad } from "./loading";
import { confirm, Dialog } from "./shell/dialog";
import { complain, notify } from "./shell/notices";
import { Act, Card, Empty, Failure, Field, Page, Show, Table, Tag, Time } from "./shell/pieces";
import type { Document, Key } from "./types";

type Limits = { events_per_second: string; bytes_per_second: string; burst_seconds: string };

export function Keys() {
  const list = useLoad((signal) => get<{ keys: Key[] }>("v1/admin/keys", { signal }), []);
  const [isMaking, setMaking] = useState(false);
  const [made, setMade] = useState<Key | null>(null);
  const [limited, setLimited] = useState<Key | null>(null);
  const revoke = async (key: Key) => {
    const sure = await confirm({
      title: `Revoke the key ${key.name}?`,
      text: "Whoever uses it is refused within half a minute. A revoked key never works again: make a new one first.",
      action: "Revoke",
      danger: true,
    });
    if (!sure) return;
    try {
      await call("DELETE", path("v1", "admin", "keys", key.id));
      notify(`The key ${key.name} is revoked.`);
    } catch (error) {
      complain(error);
    }
    list.reload();
  };
  return (
    <Page
      title="Keys"
      lead="Write keys stand in apps; admin keys open everything. Keys of the settings are not listed."
      actions={
        <button type="button" class="primary" onClick={() => setMaking(true)}>
          New key
        </button>
      }
    >
      <Show loaded={list}>
        {({ keys }) =>
          keys.length === 0 ? (
            <Empty title="No keys were made yet.">
              <button type="button" onClick={() => setMaking(true)}>
                Make the first one
              </button>
            </Empty>
          ) : (
            <Card class="flush">
              <Table label="Keys" class="list" head={<><th>Name</th><th>Role</th><th>State</th><th class="wide-only">Limits</th><th class="wide-only">Made</th><th><span class="unseen">Actions</span></th></>}>
                {keys.map((key) => (
                  <tr key={key.id}>
                    <td class="name">{key.name}</td>
                    <td>
                      <Tag>{key.role}</Tag>
                    </td>
                    <td>{key.revoked_at ? <Tag>revoked</Tag> : <Tag>active</Tag>}</td>
                    <td class="wide-only">{limits(key)}</td>
                    <td class="wide-only">
                      <Time at={key.created_at} />
                    </td>
                    <td class="row-actions">
                      {!key.revoked_at && (
                        <>
                          <button type="button" aria-label={`Limits of ${key.name}`} onClick={() => setLimited(key)}>
                            Limits
                          </button>
                          <Act class="danger" aria-label={`Revoke ${key.name}`} onAct={() => revoke(key)}>
                            Revoke
                          </Act>
                        </>
                      )}
                    </td>
                  </tr>
                ))}
              </Table>
            </Card>
          )
        }
      </Show>
      {isMaking && (
        <MakeKey
          onClose={() => setMaking(false)}
          onMade={(key) => {
            setMaking(false);
            setMade(key);
            list.reload();
          }}
        />
      )}
      {made && <Shown made={made} onClose={() => setMade(null)} />}
      {limited && (
        <LimitKey
          of={limited}
          onClose={() => setLimited(null)}
          onSaved={() => {
            setLimited(null);
            list.reload();
          }}
        />
      )}
    </Page>
  );
}

function limits({ limits }: Key): string {
  const said = [
    limits.events_per_second === null ? "" : limits.events_per_second === 0 ? "any number of events" : `${count(limits.events_per_second)} events/s`,
    limits.bytes_per_second === null ? "" : limits.bytes_per_second === 0 ? "any number of bytes" : `${bytes(limits.bytes_per_second)}/s`,
    limits.burst_seconds === null ? "" : `bursts of ${duration(limits.burst_seconds)}`,
  ].filter(Boolean);
  return said.join(", ") || "as in the settings";
}

function LimitFields({ value, onChange }: { value: Limits; onChange: (value: Limits) => void }) {
  const field = (name: keyof Limits, label: string, hint: string) => (
    <Field label={label} hint={hint}>
      {(props) => <input {...props} inputMode="numeric" value={value[name]} placeholder="as in the settings" onInput={(e) => onChange({ ...value, [name]: e.currentTarget.value.trim() })} />}
    </Field>
  );
  return (
    <>
      {field("events_per_second", "Events per second", "0 is no limit")}
      {field("bytes_per_second", "Bytes per second", "0 is no limit")}
      {field("burst_seconds", "Burst in seconds", "so many seconds' worth may come at once")}
    </>
  );
}

const number = (text: string) => (text === "" ? null : Number.isFinite(Number(text)) ? Number(text) : text);

function read(limits: Limits): Document {
  return { events_per_second: number(limits.events_per_second), bytes_per_second: number(limits.bytes_per_second), burst_seconds: number(limits.burst_seconds) };
}

function MakeKey({ onClose, onMade }: { onClose: () => void; onMade: (key: Key) => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("client");
  const [limits, setLimits] = useState<Limits>({ events_per_second: "", bytes_per_second: "", burst_seconds: "" });
  const [verify, setVerify] = useState(false);
  const [error, setError] = useState<Refused | null>(null);
  const make = async () => {
    try {
      onMade(await post<Key>("v1/admin/keys", { name: name.trim(), role, limits: read(limits), identity_verification: role === "client" && verify }));
    } catch (failed) {
      setError(failed as Refused);
    }
  };
  return (
    <Dialog title="New key" onClose={onClose}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          void make();
        }}
      >
        {error && <Failure error={error} />}
        <Field label="Name" hint="Events that come with the key carry it as their source.">
          {(props) => <input {...props} autofocus value={name} placeholder="web-shop" onInput={(e) => setName(e.currentTarget.value)} />}
        </Field>
        <Field label="Role">
          {(props) => (
            <select {...props} value={role} onChange={(e) => setRole(e.currentTarget.value)}>
              <option value="client">Write key: sends events, asks for campaigns</option>
              <option value="admin">Admin key: opens everything</option>
            </select>
          )}
        </Field>
        <LimitFields value={limits} onChange={setLimits} />
        {role === "client" && (
          <label class="check">
            <input type="checkbox" checked={verify} onChange={(e) => setVerify(e.currentTarget.checked)} />
            Reads for a user must prove who the user is
          </label>
        )}
        <footer>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Make the key
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

function Shown({ made, onClose }: { made: Key; onClose: () => void }) {
  return (
    <Dialog title={`The key ${made.name}`} onClose={onClose}>
      <p class="why">This is the only time that it is shown. Copy it now.</p>
      <Secret label="Key" text={made.key ?? ""} />
      {made.identity_secret && <Secret label="Secret for user hashes" text={made.identity_secret} />}
      <footer>
        <button type="button" class="primary" onClick={onClose}>
          I have it
        </button>
      </footer>
    </Dialog>
  );
}

function Secret({ label, text }: { label: string; text: string }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      notify(`${label} copied.`);
    } catch {
      complain(new Error("The browser does not let this page copy: select the text instead."));
    }
  };
  return (
    <Field label={label}>
      {(props) => (
        <div class="with-button">
          <input {...props} class="code" readOnly value={text} onFocus={(e) => e.currentTarget.select()} />
          <Act onAct={copy}>Copy</Act>
        </div>
      )}
    </Field>
  );
}

function LimitKey({ of, onClose, onSaved }: { of: Key; onClose: () => void; onSaved: () => void }) {
  const text = (n: number | null) => (n === null ? "" : String(n));
  const [limits, setLimits] = useState<Limits>({ events_per_second: text(of.limits.events_per_second), bytes_per_second: text(of.limits.bytes_per_second), burst_seconds: text(of.limits.burst_seconds) });
  const [error, setError] = useState<Refused | null>(null);
  const save = async () => {
    try {
      await call("PUT", path("v1", "admin", "keys", of.id), { body: { limits: read(limits) } });
      notify(`The limits of ${of.name} are saved.`);
      onSaved();
    } catch (failed) {
      setError(failed as Refused);
    }
  };
  return (
    <Dialog title={`Limits of ${of.name}`} onClose={onClose}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          void save();
        }}
      >
        {error && <Failure error={error} />}
        <LimitFields value={limits} onChange={setLimits} />
        <footer>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Save
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
