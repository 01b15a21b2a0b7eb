// All that is known of one user: traits, what they did, what they were shown, and why not.
import { get, path, Refused } from "../api";
import { useLoad } from "../loading";
import { link } from "../router";
import { Card, Empty, Page, Show, Table, Tag, Time, Value } from "../shell/pieces";
import type { Profile } from "../types";
import { Timeline } from "./timeline";
import { WhyNot } from "./why_not";

export function UserPage({ id, query }: { id: string; query: URLSearchParams }) {
  const kind = query.get("kind") ?? "";
  const profile = useLoad((signal) => get<Profile>(path("v1", "admin", "users", id), { query: { kind }, signal }), [id, kind]);
  if (profile.error instanceof Refused && profile.error.status === 404) {
    return (
      <Page title={id}>
        <Empty title={`Nothing is known of the ${kind === "anonymous" ? "visitor" : "user"} ${id}.`}>
          {kind === "anonymous" ? <a href={link(["users", id])}>Look for a user of this id</a> : <a href={link(["users", id], { kind: "anonymous" })}>Look for a visitor of this id</a>}
        </Empty>
      </Page>
    );
  }
  return (
    <Page title={id} lead={profile.data && <Lead profile={profile.data} />}>
      <Show loaded={profile} rows={8}>
        {(profile) => (
          <>
            <div class="columns">
              <Traits profile={profile} />
              <Standing profile={profile} />
            </div>
            <WhyNot profile={profile} eventId={query.get("event_id")} campaignId={query.get("campaign_id")} />
            <Matches profile={profile} />
            <Timeline profile={profile} />
          </>
        )}
      </Show>
    </Page>
  );
}

function Lead({ profile }: { profile: Profile }) {
  return (
    <>
      {profile.kind === "anonymous" ? "Visitor" : "User"}
      {profile.created_at && (
        <>
          , known <Time at={profile.created_at} />
        </>
      )}
      {profile.opted_out && (
        <>
          {" "}
          <Tag>opted_out</Tag>
        </>
      )}
    </>
  );
}

function Traits({ profile }: { profile: Profile }) {
  const traits = Object.entries(profile.traits ?? {});
  return (
    <Card title="Traits">
      {traits.length === 0 ? (
        <Empty title="No traits.">They come with an identify.</Empty>
      ) : (
        <dl class="pairs">
          {traits.map(([name, value]) => (
            <>
              <dt>{name}</dt>
              <dd>
                <Value of={value} most={200} />
              </dd>
            </>
          ))}
        </dl>
      )}
    </Card>
  );
}

function Standing({ profile }: { profile: Profile }) {
  const { links, standing } = profile;
  const campaigns = useLoad((signal) => get<{ campaigns: { id: string; name: string }[] }>("v1/admin/campaigns", { query: { status: "active,draft,paused" }, signal }), []);
  const name = (id: string) => campaigns.data?.campaigns.find((campaign) => campaign.id === id)?.name ?? id;
  return (
    <Card title="Just now">
      <dl class="pairs">
        <dt>Would be given</dt>
        <dd>
          {standing === null ? "not known just now" : standing.campaigns.length === 0 ? "no campaign" : ""}
          <ul class="plain">
            {standing?.campaigns.map(({ id, variant }) => (
              <li key={id}>
                <a href={link(["campaigns", id])}>{name(id)}</a> {variant && `(${variant})`}
              </li>
            ))}
          </ul>
        </dd>
        <dt>Segments</dt>
        <dd>{standing?.segments.join(", ") || "none"}</dd>
        <dt>Also known as</dt>
        <dd>
          {links.anonymous_ids.length + links.user_ids.length === 0 && "nobody else"}
          <ul class="plain">
            {links.user_ids.map((id) => (
              <li key={id}>
                <a href={link(["users", id])}>{id}</a> (user)
              </li>
            ))}
            {links.anonymous_ids.map((id) => (
              <li key={id}>
                <a href={link(["users", id], { kind: "anonymous" })}>{id}</a> (visitor)
              </li>
            ))}
          </ul>
        </dd>
      </dl>
    </Card>
  );
}

function Matches({ profile }: { profile: Profile }) {
  return (
    <Card title="Matches">
      {profile.matches.length === 0 ? (
        <Empty title="No campaign matched yet.">“Why, or why not?” tells what stood in the way.</Empty>
      ) : (
        <Table label="Matches" head={<><th>Campaign</th><th>Outcome</th><th>When</th><th class="wide-only">Variant</th><th><span class="unseen">Actions</span></th></>}>
          {profile.matches.map((match) => (
            <tr key={match.event_id + match.campaign_id}>
              <td class="name">
                <a href={link(["campaigns", match.campaign_id])}>{match.campaign_name ?? match.campaign_id}</a>
              </td>
              <td>
                <Tag>{match.disposition}</Tag>
              </td>
              <td>
                <Time at={match.at} />
              </td>
              <td class="wide-only">{match.variant ?? "–"}</td>
              <td class="row-actions">
                <a href={link(["users", profile.id], { kind: profile.kind === "anonymous" ? profile.kind : "", event_id: match.event_id, campaign_id: match.campaign_id })}>Why?</a>
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Card>
  );
}

