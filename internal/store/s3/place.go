package s3

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"example.com/snapd/internal/store"
)

// A Place is a bucket, and where in it the objects are.
type Place struct {
	Bucket   string
	Prefix   string // without a slash at either end; "" for the whole bucket
	Endpoint string // host, or host:port
	Plain    bool   // HTTP without TLS
	Region   string // "" asks the store, on AWS only
	Style    string // "path", "virtual", or "" for what the endpoint is known to want
	CAFile   string // certificates that are trusted in addition to the system's
	LockMode string // "governance", "compliance", or "" for no object lock
	LockDays int    // how long objects are locked
}

const amazon = "s3.amazonaws.com"

// Parse reads a URL such as s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-1. Its parameters are
//
//	endpoint    https://host[:port]; http:// to this machine, or with plain_http=yes; AWS when left out
//	region      as the store calls it
//	style       path or virtual: whether the bucket is in the path or in the name of the host
//	ca_file     certificates in PEM form that are trusted, too
//	lock, lock_days   governance or compliance, and for how many days
//
// No error shows the URL: it may hold a password, which is refused.
func Parse(raw string) (Place, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "s3" || u.Opaque != "" || u.Host == "" {
		return Place{}, errors.New("the URL of object storage has the form s3://bucket/prefix?endpoint=https://host&region=name")
	}
	if u.User != nil {
		return Place{}, errors.New("the URL of object storage holds credentials: take them out of it, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or …_FILE")
	}
	p := Place{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Endpoint: amazon}
	if p.Prefix != "" {
		if err := store.CheckName(p.Prefix); err != nil {
			return Place{}, fmt.Errorf("the prefix in the URL of object storage: %w", err)
		}
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" {
		return Place{}, errors.New("the parameters in the URL of object storage cannot be read")
	}
	for key, values := range q {
		if err := p.set(key, values[len(values)-1], q.Get("plain_http") == "yes"); err != nil {
			return Place{}, err
		}
	}
	if (p.LockMode == "") != (p.LockDays == 0) {
		return Place{}, errors.New("lock and lock_days in the URL of object storage go together")
	}
	return p, nil
}

// set takes one parameter. What is not known is refused without its value.
func (p *Place) set(key, value string, plainAllowed bool) (err error) {
	switch key {
	case "endpoint":
		p.Endpoint, p.Plain, err = endpoint(value, plainAllowed)
	case "region":
		p.Region = value
	case "style":
		p.Style = value
		if value != "path" && value != "virtual" {
			err = errors.New("want path or virtual")
		}
	case "ca_file":
		p.CAFile = value
	case "lock":
		p.LockMode = value
		if value != "governance" && value != "compliance" {
			err = errors.New("want governance or compliance")
		}
	case "lock_days":
		p.LockDays, err = strconv.Atoi(value)
		if err != nil || p.LockDays < 1 || p.LockDays > 36500 {
			err = errors.New("want a number of days from 1 on")
		}
	case "plain_http":
	default:
		err = errors.New("there is no such parameter")
	}
	if err != nil {
		return fmt.Errorf("%.40q in the URL of object storage: %w", key, err)
	}
	return nil
}

// endpoint takes a URL of nothing but scheme, host and port.
func endpoint(value string, plainAllowed bool) (host string, plain bool, err error) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", false, errors.New("want https://host or https://host:port")
	case u.Scheme == "https":
		return u.Host, false, nil
	case u.Scheme != "http":
		return "", false, errors.New("want https://")
	case !plainAllowed && !loopback(u.Hostname()):
		return "", false, errors.New("http:// shows everything to everybody on the way: use https://, or add plain_http=yes")
	}
	return u.Host, true, nil
}

// signs reports whether what is sent is signed: nothing else protects it on its way to another machine without TLS. To this machine, a checksum will do.
func (p Place) signs() bool {
	return p.Plain && !loopback((&url.URL{Host: p.Endpoint}).Hostname())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// String is the URL again.
func (p Place) String() string {
	q := url.Values{}
	if p.Endpoint != amazon {
		scheme := "https://"
		if p.Plain {
			scheme = "http://"
			if host := (&url.URL{Host: p.Endpoint}).Hostname(); !loopback(host) {
				q.Set("plain_http", "yes")
			}
		}
		q.Set("endpoint", scheme+p.Endpoint)
	}
	for key, value := range map[string]string{"region": p.Region, "style": p.Style, "ca_file": p.CAFile, "lock": p.LockMode} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if p.LockDays > 0 {
		q.Set("lock_days", strconv.Itoa(p.LockDays))
	}
	// Slashes and colons may stand in a query as they are, and people read this.
	query := strings.NewReplacer("%3A", ":", "%2F", "/").Replace(q.Encode())
	return (&url.URL{Scheme: "s3", Host: p.Bucket, Path: p.Prefix, RawQuery: query}).String()
}

// key is the name of an object in the bucket, and name the way back.
func (p Place) key(name string) string {
	if p.Prefix == "" {
		return name
	}
	return p.Prefix + "/" + name
}

func (p Place) name(key string) string {
	if p.Prefix == "" {
		return key
	}
	return strings.TrimPrefix(key, p.Prefix+"/")
}
