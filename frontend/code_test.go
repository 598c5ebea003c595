package frontend_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// entry makes a zip of one entry.
func entry(t testing.TB, h zip.FileHeader, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateHeader(&h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func link(name string) zip.FileHeader {
	h := zip.FileHeader{Name: name}
	h.SetMode(fs.ModeSymlink | 0o777)
	return h
}

// liar is a zip whose entry holds more than it says, in both of its headers.
func liar(t testing.TB) []byte {
	t.Helper()
	z := entry(t, zip.FileHeader{Name: "a", Method: zip.Deflate}, strings.Repeat("x", 100_000))
	said := []byte{0xa0, 0x86, 0x01, 0x00} // 100,000
	if bytes.Count(z, said) == 0 {
		t.Fatal("the size is not found")
	}
	return bytes.ReplaceAll(z, said, []byte{0x0a, 0, 0, 0})
}

func TestPackages(t *testing.T) {
	const unzip = "Could not unzip uploaded file. Please check your file, then try to upload again."
	good := packed(t, "a", strings.Repeat("some text ", 1000))
	damaged := bytes.Clone(good)
	damaged[40] ^= 0xff
	tests := map[string]struct {
		zip     []byte
		message string // "" if it is taken
	}{
		"good":               {good, ""},
		"a link inside":      {entry(t, link("lib/a"), "../b"), ""},
		"not a zip":          {[]byte("random text"), unzip},
		"cut":                {good[:len(good)-10], unzip},
		"damaged":            {damaged, unzip},
		"without entries":    {packed(t), "Uploaded file must be a non-empty zip"},
		"no bytes":           {[]byte{}, "Uploaded file must be a non-empty zip"},
		"parent":             {packed(t, "../a", ""), "leaves the package"},
		"parent further in":  {packed(t, "a/../../b", ""), "leaves the package"},
		"absolute":           {packed(t, "/etc/passwd", ""), "is absolute"},
		"link out":           {entry(t, link("a"), "../b"), "leads out of the package"},
		"link to the root":   {entry(t, link("a"), "/etc"), "leads out of the package"},
		"link by a long way": {entry(t, link("a/b"), "../c/../../d"), "leads out of the package"},
		"claims too much":    {bomb(t, 262_144_000), "Unzipped size must be smaller than 262144000 bytes"},
		"overflows":          {bomb(t, 1<<64-1), "Unzipped size must be smaller than 262144000 bytes"},
		"holds more":         {liar(t), unzip},
	}
	g := newRig(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := g.store.packages(t)
			in := def(t, "f", "Code", object{"ZipFile": tt.zip})
			status, _, body := g.raw("POST", functions, in)
			if tt.message == "" {
				if status != 201 {
					t.Errorf("%d %s", status, body)
				}
				g.raw("DELETE", fn("f"), nil)
				return
			}
			if status != 400 || !strings.Contains(string(body), tt.message) {
				t.Errorf("%d %s", status, body)
			}
			if len(g.store.names(t)) != 0 || g.store.packages(t) != before {
				t.Error("something is left in the store")
			}
		})
	}
}

func FuzzPackage(f *testing.F) {
	f.Add(packed(f, "a/b.py", "text", "c", ""))
	f.Add(entry(f, link("a"), "../b"))
	f.Add(liar(f))
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	s := newFuzzServer(f)
	f.Fuzz(func(t *testing.T, zip []byte) {
		status, _ := s.send(t, "POST", functions, def(t, "f", "Code", object{"ZipFile": zip}))
		if status != 201 && status != 400 {
			t.Errorf("status %d", status)
		}
		s.send(t, "DELETE", fn("f"), nil)
	})
}

func TestLocationExpires(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	out, err := g.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(string) string{
		"later expiry": func(s string) string { return strings.Replace(s, "expires=1", "expires=2", 1) },
		"other code":   func(s string) string { return strings.Replace(s, "/code/", "/code/x", 1) },
		"no token":     func(s string) string { s, _, _ = strings.Cut(s, "&token"); return s },
	} {
		changed := change(*out.Code.Location)
		if changed == *out.Code.Location {
			t.Fatalf("%s changes nothing", name)
		}
		response, err := http.Get(changed)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 403 {
			t.Errorf("%s: %s", name, response.Status)
		}
	}
}
