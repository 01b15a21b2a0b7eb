// One campaign: what came of it, what it says, what a backtest says of it, and how it became what it is.
import { get, path, Refused } from "../api";
import { useLoad } from "../loading";
import { go, link } from "../router";
import { Act, Card, Empty, Page, Show, Tag, Time } from "../shell/pieces";
import type { Campaign } from "../types";
import { archive, duplicate, remove, setStatus } from "./actions";
import { BacktestForm } from "./backtest";
import { History } from "./history";
import { Results } from "./results";
import { useSegments } from "./segments";
import { delivery, RulesInWords } from "./words";

const VIEWS: [string, string][] = [
  ["results", "Results"],
  ["definition", "Definition"],
  ["preview", "Preview"],
  ["history", "History"],
];

export function CampaignPage({ id, view, query }: { id: string; view: string; query: URLSearchParams }) {
  const loaded = useLoad((signal) => get<Campaign>(path("v1", "admin", "campaigns", id), { signal }), [id]);
  const campaign = loaded.data;
  const gone = loaded.error instanceof Refused && loaded.error.status === 404;
  return (
    <Page
      title={campaign?.name ?? (gone ? "A campaign that was deleted" : "Campaign")}
      lead={campaign && <Lead campaign={campaign} />}
      actions={campaign && <Actions campaign={campaign} onChange={(next) => (next ? loaded.set(next) : loaded.reload())} />}
    >
      <nav class="tabs" aria-label="Of this campaign">
        {VIEWS.map(([name, title]) => (
          <a key={name} href={link(["campaigns", id, name])} aria-current={view === name ? "page" : undefined}>
            {title}
          </a>
        ))}
      </nav>
      {gone && view !== "history" ? (
        <Empty title="There is no campaign under this address.">
          It may have been deleted: <a href={link(["campaigns", id, "history"])}>its history</a> brings it back.
        </Empty>
      ) : view === "history" ? (
        <History id={id} version={campaign?._version} onRestored={loaded.set} />
      ) : view === "results" ? (
        <Results id={id} query={query} />
      ) : (
        <Show loaded={loaded}>{(campaign) => (view === "preview" ? <BacktestForm draft={() => campaign} /> : <Definition campaign={campaign} />)}</Show>
      )}
    </Page>
  );
}

function Lead({ campaign }: { campaign: Campaign }) {
  return (
    <>
      <Tag>{campaign.status}</Tag> {campaign.type}, version {campaign._version}, changed <Time at={campaign.updatedAt} />
    </>
  );
}

function Actions({ campaign, onChange }: { campaign: Campaign; onChange: (next?: Campaign) => void }) {
  const next = campaign.status === "active" ? "paused" : "active";
  return (
    <>
      <a class="button primary" href={link(["campaigns", campaign.id, "edit"])}>
        Edit
      </a>
      <Act onAct={async () => onChange(await setStatus(campaign, next))}>{next === "active" ? "Activate" : "Pause"}</Act>
      <Act
        onAct={async () => {
          const copy = await duplicate(campaign);
          if (copy) go(link(["campaigns", copy.id, "edit"]));
        }}
      >
        Duplicate
      </Act>
      {campaign.status !== "archived" && (
        <Act
          onAct={async () => {
            const archived = await archive(campaign);
            if (archived) onChange(archived);
          }}
        >
          Archive
        </Act>
      )}
      <Act class="danger" onAct={async () => (await remove(campaign)) && go(link(["campaigns"]))}>
        Delete
      </Act>
    </>
  );
}

function Definition({ campaign }: { campaign: Campaign }) {
  const segments = useSegments();
  const faults = Array.isArray(campaign._faults) ? campaign._faults : [];
  return (
    <div class="columns">
      {faults.length > 0 && (
        <div class="failure" role="alert">
          <strong>This campaign is malformed and does nothing.</strong> {JSON.stringify(faults)}
        </div>
      )}
      <Card title="Who sees it">
        <RulesInWords rules={campaign.rules} segments={segments} />
      </Card>
      <Card title="When and how often">
        <dl class="pairs">
          {delivery(campaign).map(([name, text]) => (
            <>
              <dt>{name}</dt>
              <dd>{text}</dd>
            </>
          ))}
        </dl>
      </Card>
      <Card title="What the app gets" class="full">
        <pre class="json" tabIndex={0} role="region" aria-label="Configuration">
          {JSON.stringify(campaign.config, null, 2)}
        </pre>
      </Card>
    </div>
  );
}
