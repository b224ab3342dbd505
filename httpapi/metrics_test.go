package httpapi

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// Lost if this fails: the alarm that rings when there is no backup any more.
func TestMetrics(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	a.ask("GET", "/metrics", "", "X-Who: ").problem(401, "unauthorized")
	bare := string(a.ask("GET", "/metrics", "").body)
	for _, line := range []string{
		`snapd_protection_state{state="unprotected"} 1`, `snapd_protection_state{state="protected"} 0`, "snapd_readable 1",
		`snapd_operations_running{kind="backup"} 0`, "snapd_free_bytes ", "snapd_build_info{",
	} {
		if !strings.Contains(bare, "\n"+line) {
			t.Errorf("without backups there is no %q in\n%s", line, bare)
		}
	}
	if strings.Contains(bare, "snapd_newest_verified_backup_age_seconds ") {
		t.Error("the age of no backup")
	}
	b := a.backup("first")
	if _, err := a.m.Backup(t.Context(), snapshot.Auto(catalog.TriggerSchedule)); err != nil {
		t.Fatal(err)
	}
	a.finish(a.ask("POST", "/backups/"+b.ID+"/drill", ""))
	a.finish(a.ask("POST", "/check", ""))
	f.fails("Backup", snapshot.ErrNoSpace)
	a.finish(a.ask("POST", "/backups", ""))
	full := a.ask("GET", "/metrics", "")
	for _, line := range []string{
		`snapd_protection_state{state="protected"} 1`, `snapd_backups{kind="manual",trigger="manual",verification="verified"} 1`,
		"snapd_newest_verified_backup_age_seconds ", `snapd_last_success_timestamp_seconds{trigger="manual"} `,
		"snapd_last_drill_age_seconds ", "snapd_last_drill_duration_seconds ", "snapd_last_drill_healthy 1", "snapd_estimated_restore_seconds ", "snapd_last_check_healthy 1",
		`snapd_operations_total{kind="backup",outcome="failed"} 1`, `snapd_operations_total{kind="drill",outcome="done"} 1`,
		"snapd_archives_bytes ", "snapd_database_bytes ", `snapd_last_backup_duration_seconds{trigger="manual"} `,
	} {
		if !strings.Contains(string(full.body), "\n"+line) {
			t.Errorf("there is no %q in\n%s", line, full.body)
		}
	}
	problems, err := promlint.New(bytes.NewReader(full.body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	f.fails("State", errBroken)
	f.fails("Status", errBroken)
	a.status.forget()
	if half := a.ask("GET", "/metrics", ""); half.status != 200 || !strings.Contains(string(half.body), "\nsnapd_readable 0") {
		t.Errorf("where nothing can be read: %d %s", half.status, half.body)
	}
}

// Lost: the choice to have a scraper without a token, or the token itself.
func TestOpenMetrics(t *testing.T) {
	a := openAPI(t, nil, func(_ *snapshot.Config, o *Options) { o.OpenMetrics = true })
	a.ask("GET", "/metrics", "", "X-Who: ").into(200, nil)
	a.ask("GET", "/status", "", "X-Who: ").problem(401, "unauthorized")
}
