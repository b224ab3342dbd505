package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"

	"example.com/snapd/internal/store"
)

// transientCodes are the answers after which the same request may succeed, in addition to those that their HTTP status shows.
var transientCodes = map[string]bool{
	"SlowDown": true, "SlowDownRead": true, "SlowDownWrite": true, "InternalError": true, "ServiceUnavailable": true, "RequestTimeout": true,
	"Throttling": true, "ThrottlingException": true, "RequestLimitExceeded": true, "RequestThrottled": true, "Busy": true,
	"OperationAborted": true, "ConditionalRequestConflict": true, // another request for the same name is just running
}

// deniedCodes are the refusals that do not come as 401 or 403.
var deniedCodes = map[string]bool{"ExpiredToken": true, "InvalidToken": true, "TokenRefreshRequired": true, "AuthorizationHeaderMalformed": true}

var fullCodes = map[string]bool{"XMinioStorageFull": true, "QuotaExceeded": true, "InsufficientStorage": true, "StorageFull": true}

// answer returns what the store answered; ok is false when err is something else.
func answer(err error) (minio.ErrorResponse, bool) {
	var response minio.ErrorResponse
	ok := errors.As(err, &response)
	return response, ok
}

// transient reports whether the same request may succeed later.
func transient(err error) bool {
	if store.IsSource(err) {
		return false
	}
	if response, ok := answer(err); ok {
		switch response.StatusCode {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return transientCodes[response.Code]
	}
	var noCredentials *credentialsError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	if errors.As(err, &noCredentials) || errors.As(err, &certificate) || errors.As(err, &authority) || errors.Is(err, http.ErrSchemeMismatch) {
		return false
	}
	var request *url.Error
	var network net.Error
	return errors.As(err, &request) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// kind returns the store's own error for what the store answered, nil for none.
func kind(op string, err error) error {
	var noCredentials *credentialsError
	if errors.As(err, &noCredentials) {
		return store.ErrDenied
	}
	response, ok := answer(err)
	switch {
	case store.IsSource(err), !ok:
		return nil
	case response.Code == minio.NoSuchBucket:
		return store.ErrGone
	case fullCodes[response.Code], response.StatusCode == http.StatusInsufficientStorage:
		return store.ErrFull
	case response.StatusCode == http.StatusForbidden, response.StatusCode == http.StatusUnauthorized, deniedCodes[response.Code]:
		return store.ErrDenied
	case response.StatusCode == http.StatusPreconditionFailed && op == "put":
		return store.ErrExists
	case response.StatusCode == http.StatusPreconditionFailed:
		return store.ErrChanged
	case response.StatusCode == http.StatusNotFound && op != "put" && op != "list":
		return store.ErrMissing
	case transient(err):
		return store.ErrThrottled
	}
	return nil
}

// wrap adds the operation and the name to err.
func (s *S3) wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	where := "s3://" + s.place.Bucket + "/" + s.place.key(name)
	is := kind(op, err)
	if response, ok := answer(err); ok {
		err = plain{response}
	}
	if is == nil {
		return fmt.Errorf("%s %s: %w", op, where, err)
	}
	return fmt.Errorf("%s %s: %w: %w", op, where, is, err)
}

// plain is an answer as one line of bounded length: it may have come from anything that listens there.
type plain struct{ minio.ErrorResponse }

func (p plain) Error() string {
	text := strings.Join(strings.Fields(p.Code+" "+p.Message), " ")
	if status := http.StatusText(p.StatusCode); status != "" && strings.Contains(p.Code, status) { // an answer without a body
		text = p.Code
	} else if p.StatusCode != 0 {
		text = fmt.Sprintf("%d %s", p.StatusCode, text)
	}
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return "the store answers " + text
}

func (p plain) Unwrap() error { return p.ErrorResponse }

// retry calls try until it succeeds, fails for good, or ctx ends, and wraps its error.
func (s *S3) retry(ctx context.Context, op, name string, try func(again bool) error) error {
	err := s.again.Do(ctx, transient, func(again bool) error { return s.wrap(op, name, try(again)) })
	if cause := context.Cause(ctx); err != nil && err == cause { // before the first try
		return s.wrap(op, name, err)
	}
	return err
}
