package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/store/seal"
)

type keygenCmd struct {
	Output string `short:"o" placeholder:"FILE" help:"Write the sheet with the secret key to this new file, which no other user can read; it is not shown then."`
	From   string `placeholder:"URL" help:"The remote whose copies the key is for: the sheet says what to type to restore from there. Default: that of the configuration, where there is one."`
	PQ     bool   `name:"pq" help:"A key that quantum computers do not break either; age reads it from version 1.3."`
	Prove  string `placeholder:"FILE" help:"Make no key: prove that the secret key in this file reads what is sealed for its public key. With --db the backup directory remembers that."`
}

// Help is what the parser adds to the help of keygen.
func (keygenCmd) Help() string {
	return "Copies off the machine are sealed for recipients, which are public keys, and only the secret key reads them. The sheet has that key, and what to type on a " +
		"machine that has nothing else: print it, and keep it apart from the machine. It is an identity file as age's tools take it, too."
}

func (c *keygenCmd) run(ctx context.Context, a *app) error {
	if c.Prove != "" {
		if c.Output != "" || c.From != "" || c.PQ {
			return &usageError{"--prove makes no key: it excludes -o, --from and --pq", "run snapd keygen twice"}
		}
		return c.prove(ctx, a)
	}
	key, err := seal.Generate(c.PQ)
	if err != nil {
		return err
	}
	if configured, err := a.remotes(); err != nil {
		return err
	} else if c.From == "" && len(configured) == 1 {
		c.From = configured[0].URL
	}
	sheet := recoverySheet(key, c.From, time.Now())
	doc := keyDocument{Recipient: key.Recipient}
	if c.Output == "" {
		doc.Identity = &key.Identity
		return a.result(doc, func(w io.Writer) { fmt.Fprint(w, sheet) })
	}
	if err := writeSecret(c.Output, sheet); err != nil {
		return err
	}
	doc.File = &c.Output
	return a.result(doc, func(w io.Writer) {
		fmt.Fprintf(w, "recipient, for the configuration: %s\n", key.Recipient)
		fmt.Fprintf(w, "the secret key and how to restore with it: %s\n", visible(c.Output))
		fmt.Fprintf(w, "print that file, keep it apart from this machine, prove it (%s keygen --prove FILE), and remove it from here\n", program())
	})
}

// keyDocument is the JSON form of a new key. Either the key or its file is there.
type keyDocument struct {
	Recipient string  `json:"recipient"`
	Identity  *string `json:"identity"`
	File      *string `json:"file"`
}

// writeSecret makes a new file that its owner alone can read.
func writeSecret(path, text string) (err error) {
	f, err := durable.Create(path, 0o600)
	if err == nil {
		defer func() { err = errors.Join(err, f.Discard()) }()
		if _, err = io.WriteString(f, text); err == nil {
			err = f.CommitNew()
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return &refusal{fmt.Sprintf("%s exists, and may be a key: it is not replaced", path), "choose another name"}
	case errors.Is(err, fs.ErrNotExist):
		return message.WithHint(&noSuchFile{fmt.Errorf("write the key: %w", err)}, "make that directory first, or choose another one")
	case err != nil:
		return fmt.Errorf("write the key: %w", err)
	}
	return nil
}

// provenDocument is the JSON form of a proof.
type provenDocument struct {
	Recipients []string `json:"recipients"`
	Remembered bool     `json:"remembered"`
}

func (c *keygenCmd) prove(ctx context.Context, a *app) error {
	ids, err := seal.ReadIdentities(c.Prove)
	if errors.Is(err, fs.ErrNotExist) {
		return &noSuchFile{err}
	}
	if err != nil {
		return err
	}
	to, err := seal.ParseRecipients(ids.Strings())
	if err != nil {
		return err
	}
	doc := provenDocument{}
	if doc.Recipients, err = seal.Prove(to, ids); err != nil {
		return err
	}
	if a.DB != "" {
		m, err := a.open(ctx, nil)
		if err != nil {
			return err
		}
		if err := remote.RememberProof(m.Dir(), doc.Recipients, time.Now()); err != nil {
			return err
		}
		doc.Remembered = true
	}
	return a.result(doc, func(w io.Writer) {
		for _, r := range doc.Recipients {
			fmt.Fprintf(w, "proven: with this key is read what is sealed for %s\n", r)
		}
		if !doc.Remembered {
			fmt.Fprintln(w, "with --db the backup directory would remember that")
		}
	})
}

// recoverySheet is what is printed of a key: an identity file whose comments say how to use it.
func recoverySheet(key seal.Key, from string, now time.Time) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(strings.TrimRight("# "+fmt.Sprintf(format, args...), " ") + "\n")
	}
	url := shellQuote(from)
	if from == "" {
		url = "URL"
	}
	line("snapd recovery sheet")
	line("created: %s", now.UTC().Format(time.RFC3339))
	line("public key: %s", key.Recipient)
	line("")
	line("The last line of this sheet is the secret key for the copies of a database. Print the sheet, and keep it")
	line("apart from the machine and from the copies. With it and the access to the copies, everybody can read them;")
	line("without it no one can, nor can the makers of snapd help.")
	line("")
	line("To have the database back, on a machine that has nothing:")
	line("")
	line("1. Get the program snapd. It is one file.")
	line("2. Put this sheet, or its last line alone, into a file: key.txt")
	line("3. %s", access(from))
	line("4. See what is there:       snapd list --from %s --identity key.txt", url)
	line("5. Restore the newest:      snapd restore --from %s --identity key.txt --to data.db", url)
	line("   or the state of a time:  snapd restore --at '2026-01-31 14:30' --from %s --identity key.txt --to data.db", url)
	if from == "" {
		line("   URL is the address of the copies: ______________________________________________")
	}
	line("")
	line("Without snapd: copy the newest file below backups/ from there, and decrypt it with age and zstd:")
	line("   age -d -i key.txt NAME.db.zst.age | zstd -d > data.db")
	line("")
	b.WriteString(key.Identity + "\n")
	return b.String()
}

// access says how a store is opened, which the key does not do.
func access(from string) string {
	const elsewhere = "They are not on this sheet, but at: ____________________"
	scheme, _, _ := strings.Cut(from, "://")
	switch scheme {
	case "s3":
		return "Have the access to the bucket: export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…\n#    " + elsewhere
	case "sftp":
		return "Have a key of SSH, or the password, with which the server lets you in.\n#    " + elsewhere
	case "file":
		return "Connect the disk, or mount the directory."
	}
	return "Have the access to the copies.\n#    " + elsewhere
}
