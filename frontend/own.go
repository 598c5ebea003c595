package frontend

import (
	"io"
	"net/http"
)

// health answers whoever asks that the process serves, and nothing else.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":"ok"}`+"\n")
}
