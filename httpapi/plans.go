package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"sync"
	"time"

	"example.com/snapd/snapshot"
)

// Limits of restore plans.
const (
	planLife     = 2 * time.Minute
	maxPlans     = 64
	maxPlansEach = 8 // of one principal: making plans pushes out one's own first
	planTokenLen = 32
)

// plans are the restores that were planned and not yet begun. They are in memory only,
// with hashes of their tokens.
type plans struct {
	mu   sync.Mutex
	kept []keptPlan // in the order of making
}

type keptPlan struct {
	hash    [sha256.Size]byte
	who     string
	expires time.Time
	plan    snapshot.RestorePlan
	rows    *plannedRows // nil for a restore
}

// backup is the id of the one that it is of.
func (k keptPlan) backup() string {
	if k.rows != nil {
		return k.rows.plan.Backup.ID
	}
	return k.plan.Backup.ID
}

// add keeps plan and returns the token that it is used by.
func (p *plans) add(who string, plan snapshot.RestorePlan, now time.Time) (token string, expires time.Time) {
	return p.keep(keptPlan{who: who, plan: plan}, now)
}

// addRows is add for rows that are to be brought back.
func (p *plans) addRows(who string, rows plannedRows, now time.Time) (token string, expires time.Time) {
	return p.keep(keptPlan{who: who, rows: &rows}, now)
}

func (p *plans) keep(k keptPlan, now time.Time) (token string, expires time.Time) {
	var secret [planTokenLen]byte
	rand.Read(secret[:]) // never fails, by its documentation
	token = base64.RawURLEncoding.EncodeToString(secret[:])
	expires = now.Add(planLife)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	p.makeRoom(k.who)
	k.hash, k.expires = sha256.Sum256([]byte(token)), expires
	p.kept = append(p.kept, k)
	return token, expires
}

func (p *plans) expire(now time.Time) {
	p.kept = slices.DeleteFunc(p.kept, func(k keptPlan) bool { return !now.Before(k.expires) })
}

func (p *plans) makeRoom(who string) {
	var own []int
	for i, k := range p.kept {
		if k.who == who {
			own = append(own, i)
		}
	}
	switch {
	case len(own) >= maxPlansEach:
		p.kept = slices.Delete(p.kept, own[0], own[0]+1)
	case len(p.kept) >= maxPlans:
		p.kept = slices.Delete(p.kept, 0, 1)
	}
}

// take removes and returns the plan of token, if it is who's, for the backup with that
// id, and has not expired. Comparing hashes of such long secrets leaks nothing by its time.
func (p *plans) take(token, who, id string, now time.Time) (keptPlan, bool) {
	return p.taken(token, who, id, now, false)
}

// takeRows is take for rows.
func (p *plans) takeRows(token, who, id string, now time.Time) (keptPlan, bool) {
	return p.taken(token, who, id, now, true)
}

func (p *plans) taken(token, who, id string, now time.Time, rows bool) (keptPlan, bool) {
	hash := sha256.Sum256([]byte(token))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	i := slices.IndexFunc(p.kept, func(k keptPlan) bool {
		return k.hash == hash && k.who == who && k.backup() == id && (k.rows != nil) == rows
	})
	if i < 0 {
		return keptPlan{}, false
	}
	k := p.kept[i]
	p.kept = slices.Delete(p.kept, i, i+1)
	return k, true
}

// putBack makes a plan good again that was taken and not used.
func (p *plans) putBack(k keptPlan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, k)
}
