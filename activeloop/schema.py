"""The tables of a run's SQLite file."""

from __future__ import annotations

VERSION = 4

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE queries (
    round INTEGER NOT NULL, position INTEGER NOT NULL,
    key TEXT NOT NULL, sample INTEGER NOT NULL, score REAL,
    predicted TEXT, confidence REAL,  -- by the network that was there; NULL: there was none
    audit INTEGER NOT NULL,
    PRIMARY KEY (round, position)
);
CREATE TABLE asks (
    round INTEGER PRIMARY KEY,
    predict_seconds REAL NOT NULL, select_seconds REAL NOT NULL,
    horizon INTEGER,        -- the last event when the query was closed; NULL: it is open
    classes INTEGER         -- how many there were then
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('label', 'skip', 'none', 'undo')),
    label TEXT,             -- the class of a label, NULL for the other kinds
    who TEXT NOT NULL,
    at TEXT NOT NULL,       -- UTC, ISO 8601
    round INTEGER NOT NULL,
    seconds REAL,           -- that the answer took, where known
    origin TEXT,            -- why the sample was answered; NULL: nobody said
    takes_back INTEGER,     -- the event that this one takes back, saying what was there before
    brings_back INTEGER     -- the event in which that was said; NULL: nothing was there
);
CREATE INDEX events_by_key ON events (key);
CREATE VIEW labels AS
    SELECT said.id, said.key, said.kind, said.label, said.who, said.at, said.round, said.seconds,
        said.origin
    FROM events AS last JOIN events AS said ON said.id = coalesce(last.brings_back, last.id)
    WHERE last.id IN (SELECT max(id) FROM events GROUP BY key) AND said.kind <> 'undo';
CREATE TABLE rounds (
    round INTEGER PRIMARY KEY, labels INTEGER NOT NULL, classes INTEGER NOT NULL,
    at TEXT NOT NULL, metrics TEXT NOT NULL,
    weights TEXT            -- digest of the file that has them; NULL: none are kept
);
CREATE TABLE samples (      -- what the pool, the test and the validation set are made of
    part TEXT PRIMARY KEY,
    keys BLOB NOT NULL,
    checksums BLOB
);
"""
