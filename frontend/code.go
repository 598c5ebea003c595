package frontend

import (
	"archive/zip"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"thermocline"
	"thermocline/store/code"
)

// codePath is where code packages are served, followed by the base64url of
// the package's SHA-256.
const codePath = ownPrefix + "code/"

// functionCode is the code of CreateFunction and of UpdateFunctionCode.
type functionCode struct {
	ZipFile         []byte
	S3Bucket        string
	S3Key           string
	S3ObjectVersion string
	ImageUri        string
}

// codePackage is a checked zip.
type codePackage struct {
	zip    []byte
	sha256 string // base64
}

// packaged checks the code that a request brings.
func (c *functionCode) packaged() (codePackage, error) {
	switch {
	case c.ImageUri != "":
		return codePackage{}, invalid("Container images are not supported here: give the code as a zip file, with PackageType Zip.")
	case c.ZipFile != nil && (c.S3Bucket != "" || c.S3Key != ""):
		return codePackage{}, invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
	case c.S3Bucket != "" || c.S3Key != "":
		// There is no S3 here, so no bucket exists.
		return codePackage{}, invalid("Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist")
	case c.ZipFile == nil:
		return codePackage{}, invalid("Please provide a source for function code.")
	case len(c.ZipFile) == 0:
		return codePackage{}, invalid("Uploaded file must be a non-empty zip")
	case len(c.ZipFile) >= maxZip:
		return codePackage{}, thermocline.Errorf(thermocline.KindTooLarge, "Zipped size must be smaller than %d bytes", maxZip)
	}
	if isEmptyZip(c.ZipFile) {
		return codePackage{}, invalid("Uploaded file must be a non-empty zip")
	}
	// The same rules hold when it is unpacked.
	if err := code.Check(c.ZipFile); err != nil {
		return codePackage{}, err
	}
	sum := sha256.Sum256(c.ZipFile)
	return codePackage{c.ZipFile, base64.StdEncoding.EncodeToString(sum[:])}, nil
}

// isEmptyZip reports whether data is a zip without entries. Such a zip is no
// longer than its end record and a comment of 64 KB.
func isEmptyZip(data []byte) bool {
	if len(data) > 22+1<<16 {
		return false
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	return err == nil && len(archive.File) == 0
}

// location is a URL at which the function's package can be read for a while
// without a signature, as S3's presigned ones.
func (q *request) location(f *thermocline.Function) string {
	expires := strconv.FormatInt(q.now.Add(q.server.opts.Limits.LocationLife).Unix(), 10)
	scheme := "http"
	if q.r.TLS != nil {
		scheme = "https"
	}
	u := url.URL{
		Scheme:   scheme,
		Host:     q.r.Host,
		Path:     codePath + urlHash(f.CodeSHA256),
		RawQuery: "expires=" + expires + "&token=" + q.server.locationToken(urlHash(f.CodeSHA256), expires),
	}
	return u.String()
}

func (s *Server) locationToken(hash, expires string) string {
	mac := hmac.New(sha256.New, s.opts.LocationKey)
	mac.Write([]byte(hash + " " + expires))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// urlHash turns a base64 SHA-256 into one that a path can hold.
func urlHash(sha string) string { return strings.NewReplacer("+", "-", "/", "_").Replace(sha) }

// serveCode answers the URLs that location makes.
func (s *Server) serveCode(w http.ResponseWriter, r *http.Request) {
	hash := strings.TrimPrefix(r.URL.Path, codePath)
	query := r.URL.Query()
	expires, token := query.Get("expires"), query.Get("token")
	until, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || !hmac.Equal([]byte(token), []byte(s.locationToken(hash, expires))) || !s.opts.Now().Before(time.Unix(until, 0)) {
		http.Error(w, "This link is not valid or has expired. Call GetFunction for a new one.", http.StatusForbidden)
		return
	}
	content, err := s.opts.Store.Open(r.Context(), strings.NewReplacer("-", "+", "_", "/").Replace(hash))
	if err != nil {
		status := http.StatusNotFound
		if !isKind(err, thermocline.KindNotFound) {
			status = http.StatusServiceUnavailable
		}
		http.Error(w, "The code package could not be read.", status)
		return
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/zip")
	_, _ = io.Copy(w, content) // a client that went away is nobody to tell
}
