// raft-oracle makes up a cluster's life, has etcd-io/raft live it, and tells it event by event to a program that has our
// core live the same and compares (replay.c). See run.
package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	driver   = flag.String("driver", "", "the `program` that replays")
	events   = flag.Uint64("events", 3000000, "how many events, of all jobs together")
	seed     = flag.Uint64("seed", 1, "of everything")
	jobs     = flag.Int("jobs", 2, "processes at once")
	episode  = flag.Uint64("episode", 0, "only the episode with this seed")
	trace    = flag.Bool("trace", false, "with --episode: every event, in words")
	mutate   = flag.Int64("perturb", -1, "with --episode: tell the state behind this `event` wrongly")
	selfTest = flag.Int("self-check", 0, "`N` times one wrong number in the state behind some event: each must be noticed")
	smaller  = flag.Bool("minimise", true, "make the first failing episode smaller")
	worker   = flag.Bool("worker", false, "internal")
)

func fatal(format string, a ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", a...)
	os.Exit(2)
}

// --- one episode ------------------------------------------------------------------------------------------------------

type play struct {
	seed  uint64
	skip  []bool // by step
	limit int    // steps; 0: as many as the seed says
	trace func(string)
	wrong int64
}

// Steps taken; what etcd-io/raft panicked with, if it did.
func (p play) run(out *stream, cover *coverage) (steps int, panicked string) {
	r := random{p.seed ^ 0x5bd1e995}
	count := 300 + r.below(4000)
	if p.limit > 0 {
		count = min(count, p.limit)
	}
	c := &cluster{seed: p.seed, out: out, cover: cover, trace: p.trace, mutate: p.wrong}
	defer func() {
		if problem := recover(); problem != nil {
			for _, n := range c.nodes {
				if n.config.DisableConfChangeValidation {
					cover.hit("etcd-io/raft panics, of changes that were not validated")
					return
				}
			}
			panicked = fmt.Sprintf("episode %d step %d event %d: etcd-io/raft: %v", p.seed, steps, c.count, problem)
			if os.Getenv("WARREN_RAFT_STACK") != "" {
				panic(problem)
			}
		}
	}()
	cover.Episodes++
	c.setUp()
	// A cluster that gets nowhere any more (its voters are gone, or it was talked into a configuration that cannot
	// decide) is left alone after a while.
	const patience = 700
	committed, since := uint64(0), 0
	for steps = 0; steps < count && since < patience && !out.broken; steps++ {
		since++
		for _, n := range c.nodes {
			if v := n.in.committed(); v > committed {
				committed, since = v, 0
			}
		}
		if steps >= len(p.skip) || !p.skip[steps] {
			c.doStep(uint64(steps))
		}
	}
	return steps, ""
}

// --- the other side ---------------------------------------------------------------------------------------------------

type replayer struct {
	command *exec.Cmd
	output  bytes.Buffer
	pipe    *os.File
	out     *stream
	watch   *time.Timer
}

// For one episode; some thousand events take milliseconds.
const replayLimit = 60 * time.Second

func startReplayer() *replayer {
	p := &replayer{command: exec.Command(*driver)}
	read, write, err := os.Pipe()
	must(err)
	p.command.Stdin = read
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	if err := p.command.Start(); err != nil {
		fatal("%v", err)
	}
	read.Close()
	p.pipe = write
	p.out = &stream{w: bufio.NewWriterSize(write, 1<<18)}
	p.out.hello()
	// One that hangs says where, and dies (replay.c).
	p.watch = time.AfterFunc(replayLimit, func() { p.command.Process.Signal(syscall.SIGABRT) })
	return p
}

func (p *replayer) play(what play, cover *coverage) (steps int, panicked string) {
	p.watch.Reset(replayLimit)
	return what.run(p.out, cover)
}

// What it said, and whether it was content.
func (p *replayer) end() (string, bool) {
	p.out.w.Flush()
	p.pipe.Close()
	err := p.command.Wait()
	p.watch.Stop()
	if err != nil {
		fmt.Fprintf(&p.output, "%v\n", err)
	}
	return strings.TrimSpace(p.output.String()), err == nil
}

func playAlone(p play) (report string, same bool, steps int, panicked string) {
	r := startReplayer()
	steps, panicked = r.play(p, newCoverage())
	report, same = r.end()
	return report, same, steps, panicked
}

// --- a failing episode, smaller ---------------------------------------------------------------------------------------

var difference = regexp.MustCompile(`episode (\d+) event (\d+) (\S+): (.*)`)

// What is told apart: the kind of the event and the first field that differs.
var kindOfDifference = regexp.MustCompile(`episode \d+ event \d+ (\S+): (\S+)`)

func kindOf(report string) string {
	if m := kindOfDifference.FindStringSubmatch(report); m != nil {
		return m[1] + " " + m[2]
	}
	return ""
}

// Leaves out steps, in runs of falling length, as long as the same thing differs.
func minimise(seed uint64, report string) string {
	want := kindOf(report)
	deadline := time.Now().Add(40 * time.Second)
	steps := 5000
	// The last step that matters.
	for limit := 1; limit < steps; limit *= 2 {
		if r, same, _, _ := playAlone(play{seed: seed, limit: limit, wrong: -1}); !same && kindOf(r) == want {
			steps = limit
			break
		}
	}
	skip := make([]bool, steps)
	for run := max(steps/4, 1); run >= 1; run /= 2 {
		for from := steps - run; from > -run; from -= run {
			trial := append([]bool(nil), skip...)
			changed := false
			for i := max(from, 0); i < min(from+run, steps); i++ {
				changed = changed || !trial[i]
				trial[i] = true
			}
			if !changed || time.Now().After(deadline) {
				continue
			}
			if r, same, _, _ := playAlone(play{seed: seed, limit: steps, skip: trial, wrong: -1}); !same && kindOf(r) == want {
				skip = trial
			}
		}
	}
	var lines []string
	report, _, _, _ = playAlone(play{seed: seed, limit: steps, skip: skip, wrong: -1, trace: func(line string) { lines = append(lines, line) }})
	if m := difference.FindStringSubmatch(report); m != nil {
		last, _ := strconv.Atoi(m[2])
		lines = lines[:min(last+1, len(lines))]
	}
	const shown = 60
	if len(lines) > shown {
		lines = append([]string{fmt.Sprintf("(%d events before)", len(lines)-shown)}, lines[len(lines)-shown:]...)
	}
	return strings.Join(lines, "\n") + "\n" + report
}

// --- workers ----------------------------------------------------------------------------------------------------------

type outcome struct {
	Cover    *coverage
	Failures []string
}

func work() {
	result := outcome{Cover: newCoverage()}
	r := startReplayer()
	for i := uint64(0); result.Cover.Events < *events && !r.out.broken && len(result.Failures) == 0; i++ {
		draw := random{*seed + i<<20}
		_, panicked := r.play(play{seed: draw.next() >> 1, wrong: -1}, result.Cover)
		if panicked != "" {
			result.Failures = append(result.Failures, panicked)
		}
	}
	report, same := r.end()
	if !same {
		result.Failures = append(result.Failures, report)
		if m := difference.FindStringSubmatch(report); m != nil && *smaller {
			failing, _ := strconv.ParseUint(m[1], 10, 64)
			result.Failures = append(result.Failures, "smaller:\n"+minimise(failing, report))
		}
	}
	must(json.NewEncoder(os.Stdout).Encode(result))
}

func runJobs() outcome {
	sum := outcome{Cover: newCoverage()}
	var mutex sync.Mutex
	var group sync.WaitGroup
	for job := range *jobs {
		group.Go(func() {
			c := exec.Command(os.Args[0], "--worker", "--driver", *driver, "--events", fmt.Sprint(*events/uint64(*jobs)),
				"--seed", fmt.Sprint(*seed+uint64(job)*1000003), fmt.Sprintf("--minimise=%v", *smaller))
			c.Stderr = os.Stderr
			c.Env = append(os.Environ(), "GOMAXPROCS=2", "GOGC=400")
			output, err := c.Output()
			var part outcome
			mutex.Lock()
			defer mutex.Unlock()
			if err == nil {
				err = json.Unmarshal(output, &part)
			}
			if err != nil {
				sum.Failures = append(sum.Failures, fmt.Sprintf("job %d: %v", job, err))
				return
			}
			sum.Cover.add(part.Cover)
			sum.Failures = append(sum.Failures, part.Failures...)
		})
	}
	group.Wait()
	return sum
}

func summary(passed, failed int) {
	fmt.Printf("%d passed, %d failed, 0 skipped\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// One number of one state told wrongly, in many episodes: each must be reported, and for that event.
func checkSelf() {
	passed, failed := 0, 0
	for i := range uint64(*selfTest) {
		draw := random{*seed + i<<20}
		seed := draw.next() >> 1
		// Any event of the episode's beginning.
		counted := newCoverage()
		play{seed: seed, limit: 400, wrong: -1}.run(&stream{w: bufio.NewWriter(io.Discard)}, counted)
		event := int64(draw.below(int(counted.Events)))
		report, same, _, panicked := playAlone(play{seed: seed, limit: 400, wrong: event})
		m := difference.FindStringSubmatch(report)
		switch {
		case panicked != "":
			fmt.Printf("FAIL  %s\n", panicked)
			failed++
		case same || m == nil || m[1] != fmt.Sprint(seed) || m[2] != fmt.Sprint(event):
			fmt.Printf("FAIL  episode %d: event %d was told wrongly, and the report is: %s\n", seed, event, report)
			failed++
		default:
			fmt.Printf("ok    %s\n", m[0])
			passed++
		}
	}
	summary(passed, failed)
}

func main() {
	flag.Parse()
	findOffsets()
	rand.Reader = &draws
	switch {
	case *driver == "":
		fatal("--driver is missing")
	case *worker:
		work()
	case *selfTest > 0:
		checkSelf()
	case *episode != 0:
		p := play{seed: *episode, wrong: *mutate}
		if *trace {
			p.trace = func(line string) { fmt.Println(line) }
		}
		report, same, _, panicked := playAlone(p)
		fmt.Println(report)
		if panicked != "" {
			fmt.Println(panicked)
		}
		if !same || panicked != "" {
			summary(0, 1)
		}
		summary(1, 0)
	default:
		start := time.Now()
		result := runJobs()
		result.Cover.print()
		failed := 0
		for _, failure := range result.Failures {
			fmt.Printf("FAIL  %s\n", failure)
			failed++
		}
		// A short run cannot reach everything.
		if missing := result.Cover.missing(); len(missing) > 0 && *events >= 2000000 && failed == 0 {
			for _, name := range missing {
				fmt.Printf("FAIL  never reached: %s\n", name)
			}
			failed++
		}
		fmt.Printf("%d events of %d episodes compared, terms up to %d, %.0f s\n", result.Cover.Events, result.Cover.Episodes,
			result.Cover.MaxTerm, time.Since(start).Seconds())
		summary(int(result.Cover.Episodes)-min(failed, int(result.Cover.Episodes)), failed)
	}
}
