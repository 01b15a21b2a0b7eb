// Why a campaign was shown to this user, or why not: each rule with the value that was seen, and what else decided.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, path, post } from "../api";
import { useLoad } from "../loading";
import { Card, Failure, Field, Tag } from "../shell/pieces";
import type { Campaign, Document, Explained, ExplainedRule, Profile } from "../types";
import { exact } from "../format";

const MADE_UP = "made-up";

const CHECKS: Record<string, string> = {
  trigger: "Event", status: "Status", rules: "Rules", schedule: "Schedule", opt_out: "Opt-out", roll_out: "Roll-out", caps: "Caps of the user",
  total_cap: "Cap over all", hold_out: "Hold-out", variant: "Variant",
};

function hasRules(rule: ExplainedRule): boolean {
  return "text" in rule || parts(rule).length > 0;
}

function parts(rule: Exclude<ExplainedRule, { text: string }>): ExplainedRule[] {
  return "all" in rule ? rule.all : "any" in rule ? rule.any : Array.isArray(rule.not) ? rule.not : [rule.not];
}

export function WhyNot({ profile, eventId, campaignId }: { profile: Profile; eventId: string | null; campaignId: string | null }) {
  const campaigns = useLoad((signal) => get<{ campaigns: Campaign[] }>("v1/admin/campaigns", { signal }), []);
  const events = profile.timeline.events.filter((event) => event.type !== "identify" && event.type !== "alias" && event.type !== "group");
  const [campaign, setCampaign] = useState(campaignId ?? "");
  const [event, setEvent] = useState(eventId ?? events[0]?.id ?? MADE_UP);
  const [name, setName] = useState("");
  const [properties, setProperties] = useState("{}");
  const [answer, setAnswer] = useState<Explained | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);
  const box = useRef<HTMLElement>(null);

  const ask = async () => {
    if (!campaign) return;
    setBusy(true);
    setError(null);
    try {
      const who = profile.kind === "anonymous" ? { anonymous_id: profile.id } : { user_id: profile.id };
      const what = event === MADE_UP ? { event: { event: name, properties: JSON.parse(properties) as Document } } : { event_id: event };
      setAnswer(await post<Explained>(path("v1", "admin", "campaigns", campaign, "explain"), { ...who, ...what }));
    } catch (failed) {
      setAnswer(null);
      setError(failed instanceof SyntaxError ? new Error(`The properties are no JSON: ${failed.message}`) : (failed as Error));
    }
    setBusy(false);
  };
  // A link from a match or an event of the timeline leads here.
  useEffect(() => {
    if (eventId) setEvent(eventId);
    if (campaignId) setCampaign(campaignId);
    if (eventId) box.current?.scrollIntoView({ block: "nearest" });
  }, [eventId, campaignId]);
  useEffect(() => {
    if (eventId && campaignId && event === eventId && campaign === campaignId) void ask();
  }, [event, campaign]);

  return (
    <div ref={box as never}>
      <Card title="Why, or why not?">
        <form
          class="inline"
          onSubmit={(e) => {
            e.preventDefault();
            void ask();
          }}
        >
          <Field label="Campaign">
            {(props) => (
              <select {...props} value={campaign} onChange={(e) => setCampaign(e.currentTarget.value)}>
                <option value="">Choose a campaign</option>
                {campaigns.data?.campaigns.map((one) => (
                  <option key={one.id} value={one.id}>
                    {one.name} ({one.status})
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label="Event">
            {(props) => (
              <select {...props} value={event} onChange={(e) => setEvent(e.currentTarget.value)}>
                {eventId && !events.some((one) => one.id === eventId) && <option value={eventId}>{eventId}</option>}
                {events.map((one) => (
                  <option key={one.id} value={one.id}>
                    {one.event}, {exact(Date.parse(one.timestamp)).split(" (")[0]}
                  </option>
                ))}
                <option value={MADE_UP}>One that I make up</option>
              </select>
            )}
          </Field>
          {event === MADE_UP && (
            <>
              <Field label="Name">{(props) => <input {...props} value={name} placeholder="cart_viewed" onInput={(e) => setName(e.currentTarget.value)} />}</Field>
              <Field label="Properties" hint="JSON">
                {(props) => <input {...props} class="code" value={properties} onInput={(e) => setProperties(e.currentTarget.value)} />}
              </Field>
            </>
          )}
          <button type="submit" class="primary" disabled={busy || !campaign}>
            Explain
          </button>
        </form>
        {error && <Failure error={error} />}
        {answer && <Answer answer={answer} />}
      </Card>
    </div>
  );
}

function Answer({ answer }: { answer: Explained }) {
  return (
    <div class="explained" role="status">
      <p class="summary">
        <Tag>{answer.decision}</Tag> {answer.summary}
      </p>
      <p class="hint">
        {answer.campaign.name}
        {answer.campaign.version !== null && `, version ${answer.campaign.version}`}, as of {exact(Date.parse(answer.as_of))}
      </p>
      <dl class="answers">
        {answer.checks.map(({ check, pass, detail }) => (
          <>
            <dt>{CHECKS[check] ?? check}</dt>
            <dd>
              <ul class="checks">{check === "rules" && hasRules(answer.rules) ? <RuleTree rule={answer.rules} /> : <Check pass={pass}>{detail}</Check>}</ul>
            </dd>
          </>
        ))}
      </dl>
      {answer.priority && answer.priority.before.length > 0 && (
        <p class="hint">
          Place {answer.priority.place} of {answer.priority.of}; before it: {answer.priority.before.map((one) => one.name).join(", ")}
        </p>
      )}
      {answer.notes?.map((note) => (
        <p class="hint" key={note}>
          {note}
        </p>
      ))}
    </div>
  );
}

function Check({ pass, children }: { pass: boolean | null; children: preact.ComponentChildren }) {
  const [sign, says, tone] = pass === true ? ["✓", "holds", "good"] : pass === false ? ["✗", "does not hold", "bad"] : ["?", "is not known", "plain"];
  return (
    <li class={`check-${tone}`}>
      <span class="sign" aria-hidden="true">
        {sign}
      </span>
      <span>
        <span class="unseen">{says}: </span>
        {children}
      </span>
    </li>
  );
}

function RuleTree({ rule }: { rule: ExplainedRule }) {
  if ("text" in rule) {
    return (
      <Check pass={rule.pass}>
        {rule.text}
      </Check>
    );
  }
  const words = "all" in rule ? "All of these:" : "any" in rule ? "At least one of these:" : "Not:";
  return (
    <li class="group">
      {words}
      <ul class="checks">
        {parts(rule).map((part, n) => (
          <RuleTree key={n} rule={part} />
        ))}
      </ul>
    </li>
  );
}
