-- `worker repartition`: which layouts (partitions and lanes) the pipeline had since it was created, and one that is on its way.
-- How each table is written, and by whom: migrations/README.md.
CREATE TABLE layouts (
    epoch        integer PRIMARY KEY CHECK (epoch > 0),      -- part of the streams' subjects; what was created is 0 and stands nowhere
    partitions   integer NOT NULL CHECK (partitions BETWEEN 1 AND 1024),
    lanes        integer NOT NULL CHECK (lanes BETWEEN 1 AND 64 AND lanes <= partitions),
    lanes_before integer NOT NULL,                          -- those beyond `lanes` are deleted in the end
    planned_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_at     timestamptz,                                -- from here on the positions are those of this layout
    finished_at  timestamptz
);
-- One at a time.
CREATE UNIQUE INDEX layouts_unfinished ON layouts ((finished_at IS NULL)) WHERE finished_at IS NULL;

-- A program that has not heard of a repartition (or of repartitions) must not make positions of the layout before.
CREATE FUNCTION partition_fits_layout() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE layout layouts := (SELECT l FROM layouts l WHERE taken_at IS NOT NULL ORDER BY epoch DESC LIMIT 1);
BEGIN
    IF layout.epoch IS NOT NULL AND (NEW.partition >= layout.partitions OR NEW.lane <> NEW.partition % layout.lanes) THEN
        RAISE EXCEPTION 'partition % in lane % is none of layout %: PARTITIONS=% LANES=%; start the program again, or upgrade it',
            NEW.partition, NEW.lane, layout.epoch, layout.partitions, layout.lanes USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER partitions_fit_layout BEFORE INSERT ON partitions FOR EACH ROW EXECUTE FUNCTION partition_fits_layout();
