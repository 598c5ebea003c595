package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"thermocline/sandbox/bootstrap"
)

// bare is the other side: a process of its own, as the server is, in which the
// standard library's HTTP server takes the clients' requests and plays the
// Runtime API to the runtime processes that it has started.
type bare struct {
	process *process
	stdin   io.Closer // its end ends the process
	addr    string
}

// startBare starts one with so many runtime processes.
func startBare(f function, processes int, runtimeDir string) (*bare, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "bare", strconv.Itoa(processes), f.Runtime, f.interpreter, f.handler, f.dir, runtimeDir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b := &bare{stdin: in}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	b.process = &process{cmd: cmd, done: make(chan error, 1)}
	go func() { b.process.done <- cmd.Wait() }()
	if err != nil {
		_ = b.stop()
		return nil, fmt.Errorf("the bare loop did not start: %w", err)
	}
	b.addr = strings.TrimSpace(line)
	return b, nil
}

func (b *bare) stop() error {
	b.stdin.Close()
	return b.process.stop(10 * time.Second)
}

// limit says how many of the runtime processes are used from now on.
func (b *bare) limit(n int) error {
	r, err := http.Post(fmt.Sprintf("http://%s/limit?n=%d", b.addr, n), "", nil)
	if err != nil {
		return err
	}
	r.Body.Close()
	if r.StatusCode != http.StatusNoContent {
		return errors.New("the bare loop refused its limit: " + r.Status)
	}
	return nil
}

// target sends what the platform gets too.
func (b *bare) target(p *platform, name string) target {
	t := p.target(name, answerPart)
	t.addr = b.addr
	return t
}

// loop is the state of the process of bare.
type loop struct {
	mu      sync.Mutex
	free    []*worker // the last used is used next, as its caches are warm
	limit   int
	used    int
	waiting []chan *worker
	lastID  int
}

// worker is one runtime process.
type worker struct {
	work chan job // capacity 1
}

type job struct {
	id      string
	payload []byte
	answer  chan []byte // capacity 1
}

// bareMain is the process of bare.
func bareMain(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := &loop{limit: n}
	errs := make(chan error, n+2)
	var processes sync.WaitGroup
	defer processes.Wait()
	defer cancel() // before the wait
	for range n {
		w := &worker{work: make(chan job, 1)}
		api, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer api.Close()
		polled := make(chan struct{})
		go func() { errs <- http.Serve(api, &runtimeLoop{w: w, jobs: map[string]job{}, polled: polled}) }()
		cmd := runtimeCommand(ctx, args[1:], api.Addr().String())
		if err := cmd.Start(); err != nil {
			return err
		}
		processes.Go(func() {
			err := cmd.Wait()
			if ctx.Err() == nil {
				errs <- fmt.Errorf("a runtime process ended: %w", err)
			}
		})
		select {
		case <-polled:
		case err := <-errs:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("a runtime process did not ask for work within 20 s")
		}
		l.free = append(l.free, w)
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer front.Close()
	go func() { errs <- http.Serve(front, l) }()
	fmt.Println(front.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		errs <- nil // our parent is done with us, or gone
	}()
	return <-errs
}

// runtimeCommand is the runtime process: the command of a sandbox, on the host.
func runtimeCommand(ctx context.Context, args []string, api string) *exec.Cmd {
	runtime, interpreter, handler, task, runtimeDir := args[0], args[1], args[2], args[3], args[4]
	if interpreter == "" {
		interpreter = filepath.Join(task, "bootstrap")
	}
	argv := bootstrap.Command(runtime, interpreter, memoryMB)
	for i := range argv {
		argv[i] = strings.Replace(argv[i], bootstrap.Dir, runtimeDir, 1)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = task
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + api, "LAMBDA_TASK_ROOT=" + task, "LAMBDA_RUNTIME_DIR=" + runtimeDir,
		"_HANDLER=" + handler, "AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(memoryMB), "AWS_REGION=us-east-1",
		"AWS_LAMBDA_LOG_GROUP_NAME=bench", "AWS_LAMBDA_LOG_STREAM_NAME=bench",
		"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=en_US.UTF-8", "TZ=:UTC", "PYTHONPATH=" + runtimeDir,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd // its output goes to /dev/null
}

// ServeHTTP takes a client's request.
func (l *loop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/limit" {
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		l.mu.Lock()
		l.limit = n
		l.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // nobody is there any more
	}
	worker, id := l.take()
	j := job{id: id, payload: body, answer: make(chan []byte, 1)}
	worker.work <- j
	answer := <-j.answer
	l.give(worker)
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(answer))}
	_, _ = w.Write(answer)
}

// take waits for a free process.
func (l *loop) take() (*worker, string) {
	l.mu.Lock()
	l.lastID++
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", l.lastID)
	if n := len(l.free); n > 0 && l.used < l.limit {
		w := l.free[n-1]
		l.free = l.free[:n-1]
		l.used++
		l.mu.Unlock()
		return w, id
	}
	c := make(chan *worker, 1)
	l.waiting = append(l.waiting, c)
	l.mu.Unlock()
	return <-c, id
}

// give hands a process to the next who waits for one.
func (l *loop) give(w *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 && l.used <= l.limit {
		l.waiting[0] <- w
		l.waiting = l.waiting[1:]
		return
	}
	l.used--
	l.free = append(l.free, w)
}

// runtimeLoop is the Runtime API of one process, as little of it as will do.
type runtimeLoop struct {
	w      *worker
	once   sync.Once
	polled chan struct{} // closed when the process has asked for work

	mu   sync.Mutex
	jobs map[string]job
}

const invocations = "/2018-06-01/runtime/invocation/"

func (l *runtimeLoop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, _ := strings.CutPrefix(r.URL.Path, invocations)
	if rest == "next" {
		l.next(w, r)
		return
	}
	id, action, _ := strings.Cut(rest, "/")
	body, err := io.ReadAll(r.Body)
	l.mu.Lock()
	j, ok := l.jobs[id]
	delete(l.jobs, id)
	l.mu.Unlock()
	if err != nil || !ok || action != "response" {
		fmt.Fprintf(os.Stderr, "bare: %s %s: %.300s\n", r.Method, r.URL.Path, body)
		w.WriteHeader(http.StatusBadRequest)
		if ok {
			j.answer <- body
		}
		return
	}
	j.answer <- body
	w.WriteHeader(http.StatusAccepted)
}

func (l *runtimeLoop) next(w http.ResponseWriter, r *http.Request) {
	l.once.Do(func() { close(l.polled) })
	var j job
	select {
	case j = <-l.w.work:
	case <-r.Context().Done():
		return
	}
	l.mu.Lock()
	l.jobs[j.id] = j
	l.mu.Unlock()
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(j.payload))}
	h["Lambda-Runtime-Aws-Request-Id"] = []string{j.id}
	h["Lambda-Runtime-Deadline-Ms"] = []string{strconv.FormatInt(time.Now().Add(30*time.Second).UnixMilli(), 10)}
	h["Lambda-Runtime-Invoked-Function-Arn"] = []string{"arn:aws:lambda:us-east-1:000000000000:function:bench"}
	h["Lambda-Runtime-Trace-Id"] = []string{"Root=1-00000000-000000000000000000000000;Sampled=0"}
	_, _ = w.Write(j.payload)
}
