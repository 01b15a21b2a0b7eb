// All campaigns: search, filter, and what is done often without opening one.
import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import { count } from "../format";
import { useLoad, useSettled } from "../loading";
import { adjust, go, link } from "../router";
import { Act, Card, Empty, More, Page, Search, Show, Table, Tag, Time } from "../shell/pieces";
import type { Campaign } from "../types";
import { duplicate, setStatus } from "./actions";
import { triggers } from "./words";

const STATUSES = ["active", "paused", "draft", "archived"];
const ROWS = 50;

interface Listed {
  campaigns: Campaign[];
  total: number;
  next_cursor: string | null;
}

export function Campaigns({ query }: { query: URLSearchParams }) {
  const [q, setQ] = useState(query.get("q") ?? "");
  const status = query.get("status") ?? "";
  const asked = useSettled(q);
  useEffect(() => adjust(["campaigns"], { q: asked, status }), [asked]);
  const filter = { q: asked, status: status || "active,paused,draft", limit: ROWS };
  const list = useLoad((signal) => get<Listed>("v1/admin/campaigns", { query: filter, signal }), [asked, status]);
  const more = async () => {
    const page = await get<Listed>("v1/admin/campaigns", { query: { ...filter, cursor: list.data?.next_cursor } });
    list.set({ ...page, campaigns: [...(list.data?.campaigns ?? []), ...page.campaigns] });
  };
  return (
    <Page
      title="Campaigns"
      lead={list.data ? `${count(list.data.total)} ${asked || status ? "found" : "in use"}` : "…"}
      actions={
        <a class="button primary" href={link(["campaigns", "new"])}>
          New campaign
        </a>
      }
    >
      <div class="filters">
        <Search label="Search campaigns" value={q} onChange={setQ} placeholder="Name, trigger or text" />
        <select aria-label="Status" value={status} onChange={(e) => adjust(["campaigns"], { q, status: e.currentTarget.value })}>
          <option value="">Not archived</option>
          {STATUSES.map((name) => (
            <option key={name} value={name}>
              {name[0]?.toUpperCase() + name.slice(1)}
            </option>
          ))}
        </select>
      </div>
      <Show loaded={list} rows={6}>
        {({ campaigns, next_cursor }) =>
          campaigns.length === 0 ? (
            <Empty title={asked || status ? "No campaign is like that." : "There is no campaign yet."}>
              {asked || status ? (
                <button type="button" onClick={() => (setQ(""), adjust(["campaigns"], {}))}>
                  Show all
                </button>
              ) : (
                <a href={link(["campaigns", "new"])}>Create the first one</a>
              )}
            </Empty>
          ) : (
            <Card class="flush">
              <Table label="Campaigns" class="list" head={<><th>Name</th><th>Status</th><th class="wide-only">Listens to</th><th class="wide-only">Changed</th><th class="wide-only"><span class="unseen">Actions</span></th></>}>
                {campaigns.map((campaign) => (
                  <Row key={campaign.id} campaign={campaign} onChange={list.reload} />
                ))}
              </Table>
              <More cursor={next_cursor} onMore={more} />
            </Card>
          )
        }
      </Show>
    </Page>
  );
}

function Row({ campaign, onChange }: { campaign: Campaign; onChange: () => void }) {
  const next = campaign.status === "active" ? "paused" : "active";
  const copy = async () => {
    const made = await duplicate(campaign);
    if (made) go(link(["campaigns", made.id, "edit"]));
  };
  return (
    <tr>
      <td class="name">
        <a href={link(["campaigns", campaign.id])}>{campaign.name || campaign.id}</a>
        {Array.isArray(campaign._faults) && <span class="hint bad"> malformed: it does nothing</span>}
      </td>
      <td>
        <Tag>{campaign.status}</Tag>
      </td>
      <td class="wide-only">
        <code>{triggers(campaign).join(", ") || "–"}</code>
      </td>
      <td class="wide-only">
        <Time at={campaign.updatedAt} />
      </td>
      <td class="row-actions wide-only">
        <Act aria-label={`${next === "active" ? "Activate" : "Pause"} ${campaign.name}`} onAct={async () => (await setStatus(campaign, next), onChange())}>
          {next === "active" ? "Activate" : "Pause"}
        </Act>
        <Act aria-label={`Duplicate ${campaign.name}`} onAct={copy}>
          Duplicate
        </Act>
      </td>
    </tr>
  );
}
