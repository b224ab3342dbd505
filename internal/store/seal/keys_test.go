package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRecipientsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	classic, err := Generate(false)
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := Generate(true)
	if err != nil {
		t.Fatal(err)
	}
	good := classic.Recipient
	for what, lines := range map[string][]string{
		"there is none":          {},
		"recipient 1 of 1":       {""},
		"character is wrong":     {good[:len(good)-1]},
		"recipient 2 of 2":       {good, "hello"},
		"key of SSH":             {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBz"},
		"is a secret key":        {classic.Identity},
		"can't mix post-quantum": {good, hybrid.Recipient}, // age does not weaken one by the other
		"at most 16":             slices.Repeat([]string{good}, 17),
	} {
		for from, parse := range map[string]func() (Recipients, error){
			"a list": func() (Recipients, error) { return ParseRecipients(lines) },
			"a file": func() (Recipients, error) { return ReadRecipients(keyFile(t, lines...)) },
		} {
			r, err := parse()
			switch {
			case !errors.Is(err, ErrRecipients) || len(r.keys) > 0:
				t.Errorf("%s from %s: %v, %v", what, from, r.names, err)
			case strings.Contains(err.Error(), classic.Identity[20:]) || strings.Contains(err.Error(), classic.Identity[len(classic.Identity)-10:]):
				t.Errorf("%s from %s: the error has the secret key: %v", what, from, err)
			case from == "a list" && !strings.Contains(err.Error(), what):
				t.Errorf("%v; it does not say %q", err, what)
			}
		}
	}
	if _, err := ReadRecipients(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrRecipients) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	long := keyFile(t, "#"+strings.Repeat("x", maxKeyFile))
	if _, err := ReadRecipients(long); !errors.Is(err, ErrRecipients) {
		t.Errorf("a file that is too long: %v", err)
	}
	for _, lines := range [][]string{{good}, {hybrid.Recipient, hybrid.Recipient}, slices.Repeat([]string{hybrid.Recipient}, maxKeys)} {
		r, err := ReadRecipients(keyFile(t, append(lines, "# the second one is in the safe", "")...))
		if err != nil || !slices.Equal(r.Strings(), lines) {
			t.Errorf("%d good recipients: %v, %v", len(lines), len(r.names), err)
		}
	}
}

func TestIdentityFiles(t *testing.T) {
	t.Parallel()
	classic, err := Generate(false)
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := Generate(true)
	if err != nil {
		t.Fatal(err)
	}
	for what, lines := range map[string][]string{
		"has no key":        {"# nothing"},
		"line 2 is not a":   {classic.Identity, "hello"},
		"character of the ": {classic.Identity[:len(classic.Identity)-2]},
		"is a public key":   {classic.Recipient},
		"by a passphrase":   {"age-encryption.org/v1", "-> scrypt x 18", "y"},
	} {
		ids, err := ReadIdentities(keyFile(t, lines...))
		if !errors.Is(err, ErrIdentityFile) || len(ids.keys) > 0 || !strings.Contains(err.Error(), what) {
			t.Errorf("%v; want %q", err, what)
		}
		if err != nil && strings.Contains(err.Error(), classic.Identity[20:40]) {
			t.Errorf("%s: the error has the secret key: %v", what, err)
		}
	}
	if _, err := ReadIdentities(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrIdentityFile) {
		t.Errorf("a file that is not there: %v", err)
	}
	path := keyFile(t, "# created: 2026", "# public key: "+classic.Recipient, classic.Identity, "", hybrid.Identity)
	link := filepath.Join(t.TempDir(), "mounted")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	ids, err := ReadIdentities(link)
	if err != nil || !slices.Equal(ids.Strings(), []string{classic.Recipient, hybrid.Recipient}) {
		t.Errorf("two identities: %v, %v", ids.Strings(), err)
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(form, ids); strings.Contains(text, "SECRET") {
			t.Errorf("%s prints %s", form, text)
		}
	}
}

func TestProve(t *testing.T) {
	t.Parallel()
	for _, hybrid := range []bool{false, true} {
		key, err := Generate(hybrid)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Generate(hybrid)
		if err != nil {
			t.Fatal(err)
		}
		to, err := ParseRecipients([]string{key.Recipient, second.Recipient})
		if err != nil {
			t.Fatal(err)
		}
		ids, err := ReadIdentities(keyFile(t, second.Identity))
		if err != nil {
			t.Fatal(err)
		}
		readable, err := Prove(to, ids)
		if err != nil || !slices.Equal(readable, []string{second.Recipient}) {
			t.Errorf("%v, %v; want the second one", readable, err)
		}
		_, _, others := newKey(t)
		if _, err := Prove(to, others); !errors.Is(err, ErrNoIdentity) || !strings.Contains(err.Error(), key.Recipient[:40]) {
			t.Errorf("with another key: %v", err)
		}
		if _, err := Prove(Recipients{}, ids); !errors.Is(err, ErrRecipients) {
			t.Errorf("without recipients: %v", err)
		}
	}
}
