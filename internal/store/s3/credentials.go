package s3

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// maxSecret bounds what is read of a file with a secret.
const maxSecret = 16 << 10

// reread is how old credentials from a file may become, so that rotating them needs no restart.
const reread = 5 * time.Minute

// A credentialsError says that there are no credentials. It shows none.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "no credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// A chain looks for credentials in the environment, in the files that it names, in ~/.aws, and at the machine's own
// service for them. The first place that has some is used.
type chain struct {
	env     func(string) string
	found   credentials.Provider // the place, for when what it gave expires
	expires time.Time            // of what came from a file; zero for none
}

var _ credentials.Provider = (*chain)(nil)

// Retrieve implements an interface that is going away.
func (c *chain) Retrieve() (credentials.Value, error) { return c.RetrieveWithCredContext(nil) }

func (c *chain) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	value, err := c.own()
	if err != nil {
		return credentials.Value{}, &credentialsError{err}
	}
	if value.AccessKeyID != "" {
		c.found = nil
		return value, nil
	}
	profile := &credentials.FileAWSCredentials{Filename: c.env("AWS_SHARED_CREDENTIALS_FILE"), Profile: c.env("AWS_PROFILE")}
	machine := &credentials.IAM{Region: c.env("AWS_REGION")}
	var errs []error
	for _, provider := range []credentials.Provider{profile, machine} {
		if provider == machine && c.env("AWS_EC2_METADATA_DISABLED") == "true" && c.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") == "" &&
			c.env("AWS_CONTAINER_CREDENTIALS_FULL_URI") == "" && c.env("AWS_WEB_IDENTITY_TOKEN_FILE") == "" {
			continue
		}
		value, err := provider.RetrieveWithCredContext(cc)
		if err == nil && value.AccessKeyID != "" && value.SecretAccessKey != "" {
			c.found, c.expires = provider, time.Time{}
			return value, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	advice := errors.New("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_ACCESS_KEY_ID_FILE and AWS_SECRET_ACCESS_KEY_FILE, or write ~/.aws/credentials")
	return credentials.Value{}, &credentialsError{errors.Join(append([]error{advice}, errs...)...)}
}

// own returns what the environment has, by value or by file.
func (c *chain) own() (credentials.Value, error) {
	id, fromFile, err := c.secret("AWS_ACCESS_KEY_ID")
	if err != nil || id == "" {
		return credentials.Value{}, err
	}
	key, keyFromFile, errKey := c.secret("AWS_SECRET_ACCESS_KEY")
	token, tokenFromFile, errToken := c.secret("AWS_SESSION_TOKEN")
	if err := errors.Join(errKey, errToken); err != nil {
		return credentials.Value{}, err
	}
	if key == "" {
		return credentials.Value{}, errors.New("AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not")
	}
	c.expires = time.Time{}
	if fromFile || keyFromFile || tokenFromFile {
		c.expires = time.Now().Add(reread)
	}
	return credentials.Value{AccessKeyID: id, SecretAccessKey: key, SessionToken: token, SignerType: credentials.SignatureV4}, nil
}

// secret returns the value of a variable, or what is in the file that the variable with _FILE after its name names.
func (c *chain) secret(name string) (value string, fromFile bool, err error) {
	path := c.env(name + "_FILE")
	if path == "" {
		return c.env(name), false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", true, fmt.Errorf("%s_FILE: %w", name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", true, fmt.Errorf("%s_FILE: %w", name, err)
	}
	if value = strings.TrimSpace(string(text)); value == "" || strings.ContainsAny(value, "\r\n") {
		return "", true, fmt.Errorf("%s_FILE: %s holds no single line", name, path)
	}
	return value, true, nil
}

// IsExpired implements [credentials.Provider].
func (c *chain) IsExpired() bool {
	if c.found != nil {
		return c.found.IsExpired()
	}
	return !c.expires.IsZero() && time.Now().After(c.expires)
}
