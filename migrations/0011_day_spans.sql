-- Which days hold events that happened, by their timestamps, far from the day they are filed under: so that lists read only the
-- partitions that can hold what they show. How each table is written, and by whom: migrations/README.md.
CREATE TABLE day_spans (
    day       date NOT NULL,
    partition integer NOT NULL,                             -- of the user, whose owner writes the row; -1 is the hourly job
    first_at  timestamptz NOT NULL,
    last_at   timestamptz NOT NULL,
    PRIMARY KEY (day, partition)
) WITH (fillfactor = 50);
