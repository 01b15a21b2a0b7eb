-- What campaigns need beyond their rules: segments, feature flags, search, history, caps and conversions.

-- The words an editor finds a campaign by: its name, its triggers, and the short strings of its config. Configs hold images as
-- base64, so a string of a kilobyte or more is not looked at, and all of them together count up to 64 KiB. Words end at every
-- ASCII sign that is no letter or digit, as in a search; the parser by itself would make one word of an address or a path.
CREATE FUNCTION campaign_words(document jsonb) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
    SELECT to_tsvector('simple'::regconfig, translate(left(concat_ws(' ',
        document->>'name', document->>'trigger',
        (SELECT string_agg(found #>> '{}', ' ')
           FROM jsonb_path_query(jsonb_build_array(document->'triggers', document->'config'), 'strict $.**') AS found
          WHERE jsonb_typeof(found) = 'string' AND octet_length(found #>> '{}') < 1024)
    ), 65536), E'!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~', repeat(' ', 32)))
$$;
ALTER TABLE campaigns ADD COLUMN words tsvector GENERATED ALWAYS AS (campaign_words(document)) STORED;
CREATE INDEX campaigns_words ON campaigns USING gin (words);                -- ?q= of the campaign list

-- Named groups of users, by rules over traits and event counts. Membership is evaluated, never stored.
CREATE TABLE segments (
    id          text PRIMARY KEY,
    position    bigint GENERATED ALWAYS AS IDENTITY,        -- list order: newest created first
    version     bigint NOT NULL DEFAULT 1,                  -- grows with each change
    document    jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz
);
CREATE TRIGGER segments_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON segments
    FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed();

-- Feature flags; the id is the flag's key.
CREATE TABLE features (
    id          text PRIMARY KEY,
    position    bigint GENERATED ALWAYS AS IDENTITY,
    version     bigint NOT NULL DEFAULT 1,
    document    jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz
);
CREATE TRIGGER features_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON features
    FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed();

-- Who changed what, and how it was before: written in the transaction of the change.
CREATE TABLE changes (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection  text NOT NULL CHECK (collection IN ('campaigns', 'segments', 'features')),
    entity_id   text NOT NULL,
    version     bigint NOT NULL,                            -- the version that the change made
    action      text NOT NULL CHECK (action IN ('create', 'change', 'restore', 'delete')),
    changed_by  text NOT NULL,                              -- name of the admin key
    changed_at  timestamptz NOT NULL DEFAULT now(),
    before      jsonb,                                      -- absent for a create
    after       jsonb,                                      -- absent for a delete
    position    bigint NOT NULL,                            -- of the row, which a restore after a delete gets back
    created_at  timestamptz NOT NULL,                       -- same
    UNIQUE (collection, entity_id, version)                 -- versions only grow; history of one, newest first
);

-- Admins look for people: the users a visitor turned out to be, and ids that begin with ?q=.
CREATE INDEX identity_links_anonymous ON identity_links (anonymous_id);
CREATE INDEX users_prefix ON users (id text_pattern_ops);

-- A match is shown, or counted without being shown (hold-out), or a preview for a test user, which counts for nothing.
ALTER TABLE matches
    ADD COLUMN variant     text,                            -- of an A/B test
    ADD COLUMN disposition text NOT NULL DEFAULT 'show' CHECK (disposition IN ('show', 'hold_out', 'preview')),
    ADD COLUMN received_at timestamptz,                     -- of the event: what caps and conversion windows go by
    ADD COLUMN position    bigint GENERATED ALWAYS AS IDENTITY;     -- order of arrival of one user's matches
-- Caps and conversions of one user in one campaign.
CREATE INDEX matches_user ON matches (user_id, campaign_id, received_at);
-- The first count of a campaign that gets a global cap.
CREATE INDEX matches_campaign ON matches (campaign_id) WHERE disposition = 'show';

-- How often a campaign with a global cap was shown. Such a row exists only where there is such a cap; a flush locks the rows it
-- needs last, in order of id.
CREATE TABLE campaign_totals (
    campaign_id text PRIMARY KEY,
    shown       bigint NOT NULL
) WITH (fillfactor = 50);
-- While a campaign has no global cap nobody counts, so a counter that was there before would be wrong afterwards: it goes with
-- the cap, and is made anew from the matches when there is one again. It goes once more when the cap comes back, in case a worker
-- that did not know of the change yet has made one in the meantime.
CREATE FUNCTION campaign_total_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM campaign_totals WHERE campaign_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER campaigns_total_set_or_removed AFTER UPDATE ON campaigns FOR EACH ROW
    WHEN ((coalesce(OLD.document #> '{frequency_cap,total}', 'null') = 'null')
          <> (coalesce(NEW.document #> '{frequency_cap,total}', 'null') = 'null'))
    EXECUTE FUNCTION campaign_total_ended();
CREATE TRIGGER campaigns_total_deleted AFTER DELETE ON campaigns FOR EACH ROW EXECUTE FUNCTION campaign_total_ended();

-- A goal event that followed a match within the campaign's window. A match converts at most once.
CREATE TABLE conversions (
    campaign_id    text NOT NULL,
    match_event_id uuid NOT NULL,
    event_id       uuid NOT NULL,                           -- the goal event
    day            date NOT NULL,                           -- of the goal event, to find its row
    user_kind      text NOT NULL,
    user_id        text NOT NULL,
    converted_at   timestamptz NOT NULL,                    -- when the goal event was received
    PRIMARY KEY (campaign_id, match_event_id)
);
