-- Dead letters to their end: driven through the stream again, or discarded. Kept and marked in both cases.
-- How each table is written, and by whom: migrations/README.md.
ALTER TABLE dead_letters
    ADD COLUMN user_id        text,             -- of the event, else its anonymous id; absent where the release before wrote the letter
    ADD COLUMN previous_id    bigint,           -- the letter before it of the same event: driven again, and refused again
    ADD COLUMN redriven_by    text,
    ADD COLUMN redriven_seq   bigint,           -- the message of its lane that carries the event again
    ADD COLUMN discarded_at   timestamptz,
    ADD COLUMN discarded_by   text,
    ADD COLUMN discard_reason text,
    ADD CHECK (redriven_at IS NULL OR discarded_at IS NULL);

-- A replay never doubles a letter; but of a stream that was made anew another event may come from the same place.
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_lane_stream_seq_partition_position_key;
CREATE UNIQUE INDEX dead_letters_place ON dead_letters (lane, stream_seq, partition, position, sha256(payload));

-- What is open: to be driven again or discarded in order of id, counted, and the oldest of it.
CREATE INDEX dead_letters_open ON dead_letters (id) INCLUDE (created_at) WHERE redriven_at IS NULL AND discarded_at IS NULL;
-- The letters of one event: for `previous_id`, and for lists.
CREATE INDEX dead_letters_event ON dead_letters (event_id);
