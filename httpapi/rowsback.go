package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/snapd/snapshot"
)

func rowsBackRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/backups/:id/rows-plan", right: RightRestore, body: rowsBody, handle: planRows},
		{method: http.MethodPost, path: "/backups/:id/rows", right: RightRestore, body: smallBody, handle: restoreRows},
	}
}

// rowsBody bounds a body that names rows, in bytes.
const rowsBody = 256 << 10

// maxRowKeys is how many rows a request names.
const maxRowKeys = 1000

// rowsPlanRequest chooses rows of a table.
type rowsPlanRequest struct {
	Table      string            `json:"table"`
	Missing    bool              `json:"missing"`
	Changed    bool              `json:"changed"`
	Where      string            `json:"where"`
	Keys       []json.RawMessage `json:"keys"`
	References bool              `json:"with_references"`
}

type rowsPlanDocument struct {
	Plan rowsPlanView `json:"plan"`
}

// rowsPlanView is the first of the two steps of bringing rows back: what it would mean.
type rowsPlanView struct {
	Token     string     `json:"token"`
	ExpiresAt time.Time  `json:"expires_at"`
	Backup    backupView `json:"backup"`
	snapshot.RowsChange
}

// plannedRows is what a token for rows stands for: their choice, and which they were.
type plannedRows struct {
	options snapshot.RowsOptions
	plan    snapshot.RowsPlan
}

func planRows(h *Handler, w http.ResponseWriter, c *call) error {
	var in rowsPlanRequest
	if err := decode(w, c, &in); err != nil {
		return err
	}
	o := snapshot.RowsOptions{Table: in.Table, Where: in.Where, Missing: in.Missing, Changed: in.Changed, References: in.References}
	if in.Where != "" { // SQL, in any database
		if err := h.need(c, RightQuery); err != nil {
			return err
		}
		if !h.o.AllowQuery {
			return fail(http.StatusForbidden, "queries_off", "this server answers no SQL", `its administrator can switch that on; "keys", "missing" and "changed" choose rows without it`)
		}
	}
	if len(in.Keys) > maxRowKeys {
		return invalid("more than 1000 keys", "")
	}
	for _, raw := range in.Keys {
		key, err := rowKey(raw)
		if err != nil {
			return err
		}
		o.Keys = append(o.Keys, key)
	}
	b, err := h.find(c)
	if err != nil {
		return err
	}
	return planRowsOf(h, w, c, b.ID, o)
}

// planRowsOf keeps a plan, and answers it.
func planRowsOf(h *Handler, w http.ResponseWriter, c *call, id string, o snapshot.RowsOptions) error {
	p, err := reading(h, c, func(ctx context.Context) (snapshot.RowsPlan, error) { return h.m.PlanRows(ctx, id, o) })
	if err != nil {
		return err
	}
	if c.who.May(RightRead) {
		recordLook(h, c, "rows")
	} else {
		p.RowsChange = p.Counts()
	}
	bound := snapshot.RowsPlan{Backup: p.Backup, RowsChange: snapshot.RowsChange{Rows: p.Rows, Bound: p.Bound}} // without the rows
	token, expires := h.plans.addRows(nameOf(c.who), plannedRows{o, bound}, h.now())
	return writeJSON(w, http.StatusOK, rowsPlanDocument{rowsPlanView{token, expires, showBackup(p.Backup), p.RowsChange}})
}

// rowKey reads a key: an object of columns. A blob is {"base64":…}.
func rowKey(raw json.RawMessage) (key snapshot.RowFields, err error) {
	names, err := objectMembers(raw)
	if err != nil {
		return nil, invalid("a key is an object with the columns of the primary key", "")
	}
	var values map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&values); err != nil && err != io.EOF {
		return nil, invalid("a key cannot be read", "")
	}
	for _, name := range names {
		f := snapshot.RowField{Column: name}
		switch v := values[name].(type) {
		case nil, string:
			f.Value = v
		case json.Number:
			if f.Value, err = numberOf(v); err != nil {
				return nil, invalid("a number in a key cannot be read", "")
			}
		case map[string]any:
			text, ok := v["base64"].(string)
			blob, err := base64.StdEncoding.DecodeString(text)
			if !ok || len(v) != 1 || err != nil {
				return nil, invalid(`a blob in a key is {"base64":…}`, "")
			}
			f.Value = blob
		default:
			return nil, invalid("a key has numbers, texts, blobs and nulls only", "")
		}
		key = append(key, f)
	}
	return key, nil
}

// numberOf is a number as SQLite would have it.
func numberOf(n json.Number) (any, error) {
	if !strings.ContainsAny(n.String(), ".eE") {
		return n.Int64()
	}
	return n.Float64()
}

// rowsRequest is the second step.
type rowsRequest struct {
	Token      string              `json:"token"`
	OnConflict snapshot.RowsPolicy `json:"on_conflict"`
}

func restoreRows(h *Handler, w http.ResponseWriter, c *call) error {
	var in rowsRequest
	if err := decode(w, c, &in); err != nil {
		return err
	}
	policies := []snapshot.RowsPolicy{"", snapshot.FailOnConflict, snapshot.SkipOnConflict, snapshot.ReplaceOnConflict}
	if in.Token == "" || !slices.Contains(policies, in.OnConflict) {
		return invalid(`want "token", and "on_conflict" of fail, skip and replace`, "make a plan with rows-plan first")
	}
	b, err := h.m.Find(c.param("id"))
	if err != nil {
		return err
	}
	refuse := func(err error) error {
		h.refused(c, string(snapshot.OpRestoreRows), b.ID, err)
		return err
	}
	kept, ok := h.plans.takeRows(in.Token, nameOf(c.who), b.ID, h.now())
	if !ok {
		return refuse(stale())
	}
	o := snapshot.RestoreRowsOptions{RowsOptions: kept.rows.options, Plan: &kept.rows.plan}
	o.OnConflict = in.OnConflict
	op, err := h.ops.start(snapshot.OpRestoreRows, nameOf(c.who), "", b.ID, func(ctx context.Context) (any, error) {
		return h.m.RestoreRows(ctx, b.ID, o)
	})
	if err != nil {
		h.plans.putBack(kept) // nothing was begun
		return refuse(err)
	}
	return h.accepted(w, c, op)
}
