package samplecrm

// schema is what a small sales team's web application would have: foreign keys,
// unique and partial indexes, a view, triggers, and full-text search over notes.
//
// Accounts and transfers are the ledger: a transfer moves an amount between two
// accounts in one transaction, so the sum of all balances never changes, and an
// image that mixes two moments shows a wrong sum. Terms makes accounts wide, so
// that two of them seldom share a page.
const schema = `
CREATE TABLE companies(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  domain TEXT NOT NULL UNIQUE,
  industry TEXT NOT NULL,
  city TEXT NOT NULL,
  employees INTEGER NOT NULL CHECK(employees > 0),
  created_at TEXT NOT NULL
);
CREATE TABLE contacts(
  id INTEGER PRIMARY KEY,
  company_id INTEGER NOT NULL REFERENCES companies(id),
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  email TEXT NOT NULL UNIQUE,
  phone TEXT,
  title TEXT,
  created_at TEXT NOT NULL
);
CREATE INDEX contacts_company ON contacts(company_id);
CREATE INDEX contacts_name ON contacts(last_name, first_name);
CREATE TABLE deals(
  id INTEGER PRIMARY KEY,
  company_id INTEGER NOT NULL REFERENCES companies(id),
  contact_id INTEGER REFERENCES contacts(id) ON DELETE SET NULL,
  title TEXT NOT NULL,
  stage TEXT NOT NULL CHECK(stage IN ('lead','qualified','proposal','negotiation','won','lost')),
  amount_cents INTEGER NOT NULL CHECK(amount_cents >= 0),
  currency TEXT NOT NULL DEFAULT 'EUR',
  updated_at TEXT NOT NULL
);
CREATE INDEX deals_company ON deals(company_id);
CREATE INDEX deals_open ON deals(stage, amount_cents) WHERE stage NOT IN ('won','lost');
CREATE TABLE deal_stages(
  id INTEGER PRIMARY KEY,
  deal_id INTEGER NOT NULL REFERENCES deals(id) ON DELETE CASCADE,
  was TEXT NOT NULL,
  became TEXT NOT NULL,
  changed_at TEXT NOT NULL
);
CREATE INDEX deal_stages_deal ON deal_stages(deal_id);
CREATE TRIGGER deals_stage AFTER UPDATE OF stage ON deals WHEN old.stage <> new.stage BEGIN
  INSERT INTO deal_stages(deal_id, was, became, changed_at) VALUES(new.id, old.stage, new.stage, new.updated_at);
END;
CREATE TABLE activities(
  id INTEGER PRIMARY KEY,
  contact_id INTEGER NOT NULL REFERENCES contacts(id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK(kind IN ('email','call','meeting','task')),
  subject TEXT NOT NULL,
  body TEXT NOT NULL,
  happened_at TEXT NOT NULL
);
CREATE INDEX activities_contact ON activities(contact_id, happened_at);
CREATE TABLE attachments(
  id INTEGER PRIMARY KEY,
  activity_id INTEGER NOT NULL REFERENCES activities(id) ON DELETE CASCADE,
  file_name TEXT NOT NULL,
  media_type TEXT NOT NULL,
  content BLOB NOT NULL
);
CREATE INDEX attachments_activity ON attachments(activity_id);
CREATE TABLE notes(
  id INTEGER PRIMARY KEY,
  contact_id INTEGER NOT NULL REFERENCES contacts(id) ON DELETE CASCADE,
  author TEXT NOT NULL,
  body TEXT NOT NULL,
  created_at TEXT NOT NULL
);
CREATE INDEX notes_contact ON notes(contact_id);
CREATE VIRTUAL TABLE notes_search USING fts5(body, content='notes', content_rowid='id');
CREATE TABLE accounts(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  balance INTEGER NOT NULL,
  terms TEXT NOT NULL
);
CREATE TABLE transfers(
  id INTEGER PRIMARY KEY,
  from_account INTEGER NOT NULL REFERENCES accounts(id),
  to_account INTEGER NOT NULL REFERENCES accounts(id),
  amount INTEGER NOT NULL CHECK(amount > 0),
  memo TEXT NOT NULL,
  made_at TEXT NOT NULL
);
CREATE INDEX transfers_from ON transfers(from_account);
CREATE VIEW pipeline AS
  SELECT stage, count(*) AS deals, sum(amount_cents) / 100.0 AS amount FROM deals GROUP BY stage;
`

// searchTriggers keep the full-text index up with the notes. They come after the
// load: FTS5 writes a segment for every statement, so the loader indexes many
// notes in one.
const searchTriggers = `
CREATE TRIGGER notes_added AFTER INSERT ON notes BEGIN
  INSERT INTO notes_search(rowid, body) VALUES(new.id, new.body);
END;
CREATE TRIGGER notes_removed AFTER DELETE ON notes BEGIN
  INSERT INTO notes_search(notes_search, rowid, body) VALUES('delete', old.id, old.body);
END;
CREATE TRIGGER notes_edited AFTER UPDATE OF body ON notes BEGIN
  INSERT INTO notes_search(notes_search, rowid, body) VALUES('delete', old.id, old.body);
  INSERT INTO notes_search(rowid, body) VALUES(new.id, new.body);
END;
`

const indexNotes = "INSERT INTO notes_search(rowid, body) SELECT id, body FROM notes WHERE id > ?"

// The ledger: Accounts accounts, numbered from 1, begin with OpeningBalance cents each.
const (
	Accounts       = 100
	OpeningBalance = 100_000

	// ExpectedSum is what all balances add up to in every committed state, in cents.
	ExpectedSum = Accounts * OpeningBalance
)

var stages = []string{"lead", "qualified", "proposal", "negotiation", "won", "lost"}
