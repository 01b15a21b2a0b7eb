-- Outgoing webhooks: what a campaign's receiver is told, and how far that has come.
-- How each table is written, and by whom: migrations/README.md.

-- Where a campaign's matches are told. What an editor wrote stands in the campaign's document and is copied here by a trigger, in the
-- same transaction, so that sending never reads documents (they hold images). The secret stands here alone: a document is shown in
-- histories, copies and exports.
CREATE TABLE webhook_endpoints (
    campaign_id      text PRIMARY KEY,
    webhook          jsonb,                                 -- as in the document; absent: the campaign has none any more
    -- 244 random bits.
    secret           bytea NOT NULL DEFAULT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
    previous_secret  bytea,                                 -- signs too until then, while the receiver changes over
    previous_until   timestamptz,
    failures         integer NOT NULL DEFAULT 0,            -- in a row
    failing_since    timestamptz,
    last_error       text,                                  -- in our words: never anything of an answer
    last_failed_at   timestamptz,
    not_before       timestamptz,                           -- the receiver asked for that
    paused_at        timestamptz,                           -- nothing is sent until a person resumes it
    changed_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- With the owner's rights: who edits campaigns needs none of its own here, and a program of the release before has none.
CREATE FUNCTION webhook_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    whose text := CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END;
    found jsonb := CASE WHEN TG_OP <> 'DELETE' THEN NEW.document->'webhook' END;
BEGIN
    IF jsonb_typeof(found) = 'object' THEN
        INSERT INTO webhook_endpoints AS e (campaign_id, webhook) VALUES (whose, found)
        ON CONFLICT (campaign_id) DO UPDATE SET webhook = excluded.webhook, changed_at = clock_timestamp()
            WHERE e.webhook IS DISTINCT FROM excluded.webhook;
    ELSE
        -- The secret stays for a while: a campaign that was deleted by mistake comes back as it was.
        UPDATE webhook_endpoints SET webhook = NULL, changed_at = clock_timestamp() WHERE campaign_id = whose AND webhook IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER campaigns_webhook AFTER INSERT OR UPDATE OF document OR DELETE ON campaigns
    FOR EACH ROW EXECUTE FUNCTION webhook_changed();
INSERT INTO webhook_endpoints (campaign_id, webhook)
    SELECT id, document->'webhook' FROM campaigns WHERE jsonb_typeof(document->'webhook') = 'object';

-- The outbox: one row is one message to a receiver, written in the transaction of its match or conversion. What the message says is read
-- from the event when it is sent, so nothing of an event stands here twice.
CREATE TABLE webhook_deliveries (
    position         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,   -- of one user in the order of their events
    id               uuid NOT NULL UNIQUE,                  -- `webhook-id`: from kind, event and campaign, so a replay makes no second one
    campaign_id      text NOT NULL,
    campaign_version bigint,
    kind             text NOT NULL CHECK (kind IN ('match', 'conversion', 'ping')),
    event_id         uuid,                                  -- that matched, or that is the goal; a ping has none
    match_event_id   uuid,                                  -- that matched
    day              date,                                  -- of the event, to find its row
    user_kind        text,
    user_id          text,
    variant          text,
    occurred_at      timestamptz NOT NULL,                  -- when the event was received
    created_at       timestamptz NOT NULL DEFAULT now(),
    state            text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    attempts         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),    -- of one that is being sent: when its sender counts as dead
    claim            uuid,                                  -- of the attempt that is under way
    last_attempt_at  timestamptz,
    last_status      integer,
    last_error       text,                                  -- in our words: never anything of an answer
    finished_at      timestamptz,
    resent_at        timestamptz,
    resent_by        text
);
-- What is due of a campaign.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (campaign_id, next_attempt_at, position)
    WHERE state = 'pending' AND kind <> 'ping';
-- Pings, which go even where everything else is paused.
CREATE INDEX webhook_deliveries_pings ON webhook_deliveries (next_attempt_at) WHERE state = 'pending' AND kind = 'ping';
-- Earlier ones of the same user; and everything of a person who is erased or asks what is stored.
CREATE INDEX webhook_deliveries_user ON webhook_deliveries (user_id, campaign_id, state, position);
-- A list of one campaign, latest first.
CREATE INDEX webhook_deliveries_campaign ON webhook_deliveries (campaign_id, position);
