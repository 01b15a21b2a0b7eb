// Makes and changes a campaign: a form for what people set often, the whole document as JSON for everything else, a backtest of what
// is not saved yet, and a way out when somebody else saved first.
import { useEffect, useMemo, useState } from "preact/hooks";
import { call, type Fault, get, path, post, Refused } from "../api";
import { useLoad } from "../loading";
import { go, link } from "../router";
import { notify } from "../shell/notices";
import { Act, Card, Failure, Page, Show } from "../shell/pieces";
import type { Campaign, Document } from "../types";
import { BacktestForm } from "./backtest";
import { changes, EMPTY, left, plain } from "./draft";
import { CampaignForm } from "./form";
import { Conflict } from "./conflict";
import { JsonText } from "./json_text";

const NEW = "";

export function NewCampaign() {
  return <Editor base={null} />;
}

export function EditCampaign({ id }: { id: string }) {
  const loaded = useLoad((signal) => get<Campaign>(path("v1", "admin", "campaigns", id), { signal }), [id]);
  if (loaded.data) return <Editor key={id} base={loaded.data} />;
  return (
    <Page title="Edit a campaign">
      <Show loaded={loaded} rows={8}>
        {() => null}
      </Show>
    </Page>
  );
}

function Editor({ base: loaded }: { base: Campaign | null }) {
  const id = loaded?.id ?? NEW;
  const kept = useMemo(() => left.get(id), [id]);
  const [base, setBase] = useState<Campaign | null>(kept?.base ?? loaded);
  const before = base ? plain(base) : EMPTY;
  const [document, setDocument] = useState<Document>(kept?.document ?? before);
  const [asJson, setAsJson] = useState(false);
  const [badJson, setBadJson] = useState(false);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [theirs, setTheirs] = useState<Campaign | null>(null);
  const changed = changes(before, document);
  const isDirty = Object.keys(changed).length > 0;

  useEffect(() => {
    if (isDirty) left.set(id, { document, base });
    else left.delete(id);
    const warn = (event: BeforeUnloadEvent) => isDirty && event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [document, base, isDirty]);

  const saved = (campaign: Campaign) => {
    left.delete(id);
    const notes = Array.isArray(campaign._notes) ? ` ${campaign._notes.join("; ")}.` : "";
    notify(`“${campaign.name}” is saved.${notes}`);
    go(link(["campaigns", campaign.id, "definition"]));
  };
  const save = async (version = base?._version) => {
    setRefused(null);
    try {
      saved(
        base
          ? await call<Campaign>("PUT", path("v1", "admin", "campaigns", base.id), { body: changed, version })
          : await post<Campaign>("v1/admin/campaigns", document),
      );
    } catch (error) {
      const problem = error instanceof Refused ? error : new Refused(0, String(error));
      if (problem.status === 412 && base) {
        try {
          return setTheirs(await get<Campaign>(path("v1", "admin", "campaigns", base.id)));
        } catch (again) {
          return setRefused(again as Refused);
        }
      }
      setRefused(problem);
      scrollTo(0, 0);
    }
  };
  const discard = () => {
    left.delete(id);
    setDocument(before);
    setRefused(null);
  };
  return (
    <Page
      title={base ? `Edit ${base.name}` : "New campaign"}
      lead={isDirty ? `Changed and not saved: ${Object.keys(changed).join(", ")}` : base ? "Nothing is changed yet." : "A draft is shown to nobody but its test users."}
      actions={
        <>
          <Act class="primary" disabled={badJson || !isDirty} onAct={() => save()}>
            Save
          </Act>
          {isDirty && (
            <button type="button" onClick={discard}>
              Discard changes
            </button>
          )}
          <a class="button" href={base ? link(["campaigns", base.id]) : link(["campaigns"])}>
            {isDirty ? "Leave for now" : "Back"}
          </a>
        </>
      }
    >
      {refused && <Failure error={refused} />}
      {theirs && base && (
        <Conflict
          base={base}
          theirs={theirs}
          mine={changed}
          onMine={() => {
            setTheirs(null);
            return save(theirs._version);
          }}
          onTheirs={() => {
            setTheirs(null);
            setBase(theirs);
            setDocument(plain(theirs));
          }}
          onClose={() => setTheirs(null)}
        />
      )}
      <div class="tabs editing" role="group" aria-label="How it is edited">
        <button type="button" aria-pressed={!asJson} disabled={badJson} onClick={() => setAsJson(false)}>
          Form
        </button>
        <button type="button" aria-pressed={asJson} onClick={() => setAsJson(true)}>
          JSON
        </button>
      </div>
      {asJson ? (
        <Card title="The whole document">
          <JsonText label="Document" value={document} rows={28} onChange={(value) => setDocument(value as Document)} onValid={(valid) => setBadJson(!valid)} object />
        </Card>
      ) : (
        <CampaignForm document={document} onChange={setDocument} faults={faultsOf(refused)} />
      )}
      <BacktestForm draft={() => document} />
    </Page>
  );
}

function faultsOf(refused: Refused | null): Fault[] {
  return refused?.faults ?? [];
}
