// What a user did, latest first, all linked ids together.
import { useState } from "preact/hooks";
import { get } from "../api";
import { useLoad } from "../loading";
import { link } from "../router";
import { Card, Empty, JsonBlock, More, Show, Time } from "../shell/pieces";
import type { Profile, StoredEvent } from "../types";

interface Listed {
  events: StoredEvent[];
  next_cursor: string | null;
}

export function Timeline({ profile }: { profile: Profile }) {
  const [event, setEvent] = useState("");
  const filter = { user_id: profile.id, linked: "true", limit: 50, event };
  const list = useLoad<Listed>((signal) => (event ? get<Listed>("v1/admin/events", { query: filter, signal }) : Promise.resolve(profile.timeline)), [profile.id, event]);
  const more = async () => {
    const page = await get<Listed>("v1/admin/events", { query: { ...filter, cursor: list.data?.next_cursor } });
    list.set({ ...page, events: [...(list.data?.events ?? []), ...page.events] });
  };
  const names = [...new Set(profile.timeline.events.map((e) => e.event))].sort();
  return (
    <Card
      title="Timeline"
      actions={
        <select aria-label="Only this event" value={event} onChange={(e) => setEvent(e.currentTarget.value)}>
          <option value="">All events</option>
          {names.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      }
    >
      <Show loaded={list}>
        {({ events, next_cursor }) =>
          events.length === 0 ? (
            <Empty title="No events." />
          ) : (
            <>
              <ul class="tail" aria-label="Events of this user, latest first">
                {events.map((event) => (
                  <Row key={event.id} event={event} profile={profile} />
                ))}
              </ul>
              <More cursor={next_cursor} onMore={more} />
            </>
          )
        }
      </Show>
    </Card>
  );
}

function Row({ event, profile }: { event: StoredEvent; profile: Profile }) {
  const [isOpen, setOpen] = useState(false);
  const content = event.type === "identify" ? event.traits : event.properties;
  const kind = profile.kind === "anonymous" ? profile.kind : "";
  return (
    <li>
      <details onToggle={(e) => setOpen(e.currentTarget.open)}>
        <summary>
          <Time at={event.timestamp} />
          <b>{event.event}</b>
          <span class="what">{JSON.stringify(content ?? {})}</span>
        </summary>
        {isOpen && (
          <div class="opened">
            <a href={link(["users", profile.id], { kind, event_id: event.id })}>Why did a campaign (not) come up?</a>
            <JsonBlock label={`Event ${event.id}`} text={JSON.stringify(event, null, 2)} />
          </div>
        )}
      </details>
    </li>
  );
}
