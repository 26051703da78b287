// rawgrpc sends requests that no etcdctl sends to a real etcd and to the server under test, and compares every answer:
// status codes and messages, headers, events, trailers. Each scenario has a fresh store on both.
//
// Usage: rawgrpc -server COMMAND [-reference COMMAND] [-self] [-only TEXT] [-sample N] [-seeds N] [-jobs N] [-differences FILE] [-newer FILE] [-show] [-v]
//
// It ends with "N passed, N failed, N skipped"; exit code 0, 1, or 77 if nothing ran.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"

	"warren.test/etcd/server"
)

// A scenario notes what one server does; it must not look at anything that differs from run to run.
type scenario struct {
	name  string
	flags string // further flags of the server
	run   func(r *run)
	// Where the real 3.4 crashes or answers otherwise than newer ones, the notes are compared with this text instead.
	expect string
}

var scenarios []scenario

func add(name string, f func(r *run)) { scenarios = append(scenarios, scenario{name: name, run: f}) }

func addFlags(name, flags string, f func(r *run)) {
	scenarios = append(scenarios, scenario{name: name, flags: flags, run: f})
}

func addExpect(name, expect string, f func(r *run)) {
	scenarios = append(scenarios, scenario{name: name, run: f, expect: expect})
}

type options struct {
	server, reference, only string
	self, show, verbose     bool
}

var errEnded = errors.New("the server ended by itself")

func runOn(command string, s scenario) (notes []note, err error) {
	process, err := server.New(command, s.flags)
	if err != nil {
		return nil, err
	}
	defer process.Close()
	if err = process.Start(); err != nil {
		return nil, err
	}
	r, err := newRun(process)
	if err != nil {
		return nil, err
	}
	defer r.close()
	defer func() {
		p := recover()
		if p != nil {
			err = fmt.Errorf("the scenario failed: %v", p)
			notes = r.notes
		}
		if process.Ended() {
			err = fmt.Errorf("%w: %s", errEnded, process.Said())
			notes = r.notes
		}
	}()
	s.run(r)
	return r.notes, nil
}

func compare(s scenario, reference, tested []note, rules []*rule) (found []string) {
	for i := 0; i < max(len(reference), len(tested)); i++ {
		a, b := note{"step not reached", ""}, note{"step not reached", ""}
		if i < len(reference) {
			a = reference[i]
		}
		if i < len(tested) {
			b = tested[i]
		}
		if a != b && !allowed(rules, s.name, a, b) {
			from := sameLines(a.text, b.text)
			found = append(found, fmt.Sprintf("%s\n  etcd: %s\n  ours: %s", a.step, shortened(a.text[from:]), shortened(b.text[from:])))
			if a.step != b.step {
				return append(found, "  ours was at: "+b.step)
			}
		}
	}
	return found
}

// sameLines is the size of the lines that long texts have in common before they differ, but for the last of them.
func sameLines(a, b string) int {
	const long = 1000
	if len(a) < long || len(b) < long {
		return 0
	}
	last, from := 0, 0
	for i := 0; i < min(len(a), len(b)) && a[i] == b[i]; i++ {
		if a[i] == '\n' {
			last, from = i+1, last
		}
	}
	return from
}

func shortened(text string) string {
	const limit = 1500
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return strings.ReplaceAll(text, "\n", "\n        ")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// beforeCrash is what was noted before the first call that found nobody there (code 14, Unavailable).
func beforeCrash(notes []note) []note {
	for i, n := range notes {
		if strings.HasPrefix(n.text, "error 14:") {
			return notes[:i]
		}
	}
	return notes
}

// check runs one scenario on both servers, and says what is wrong.
func check(o options, s scenario, rules []*rule) []string {
	var reference, tested []note
	var errReference, errTested error
	var wait sync.WaitGroup
	if s.expect != "" {
		reference = []note{{"expected", s.expect}}
	} else {
		wait.Add(1)
		go func() { defer wait.Done(); reference, errReference = runOn(o.reference, s) }()
	}
	if !o.show {
		tested, errTested = runOn(o.server, s)
	}
	wait.Wait()
	if o.show {
		fmt.Println("=== " + s.name)
		for _, n := range reference {
			fmt.Printf("  %s\n      %s\n", shortened(n.step), strings.ReplaceAll(shortened(n.text), "\n", "\n      "))
		}
		tested = reference
	}
	if s.expect != "" && !o.show {
		var texts []string
		for _, n := range tested {
			texts = append(texts, n.text)
		}
		tested = []note{{"expected", strings.Join(texts, "\n")}}
	}
	if errors.Is(errReference, errEnded) && (o.self || !errors.Is(errTested, errEnded)) {
		// It crashed (3.4 does, on some transactions): what came before must agree, and ours must live.
		reference = beforeCrash(reference)
		tested = tested[:min(len(tested), len(reference))]
		fmt.Printf("note  %s: the reference crashed after %d steps: %s\n", s.name, len(reference), firstLine(errReference.Error()))
		errReference = nil
		if o.self {
			errTested = nil
		}
	}
	found := compare(s, reference, tested, rules)
	if errReference != nil {
		found = append(found, "etcd: "+errReference.Error())
	}
	if errTested != nil {
		found = append(found, "ours: "+errTested.Error())
	}
	return found
}

func main() {
	var o options
	var sample, seeds, jobs int
	var differences, newer string
	flag.StringVar(&o.server, "server", "", "what to test; it is given etcd's flags")
	flag.StringVar(&o.reference, "reference", "/usr/bin/etcd", "the real etcd")
	flag.BoolVar(&o.self, "self", false, "the reference against itself")
	flag.StringVar(&o.only, "only", "", "scenarios whose name contains this")
	flag.IntVar(&sample, "sample", 1, "every Nth scenario")
	flag.IntVar(&seeds, "seeds", 8, "random histories")
	flag.IntVar(&jobs, "jobs", 4, "scenarios at once")
	flag.StringVar(&differences, "differences", "", "file of what may differ")
	flag.StringVar(&newer, "newer", "", "file of what newer etcds do otherwise: a server may do either")
	flag.BoolVar(&o.show, "show", false, "print what the reference does, and run nothing else")
	flag.BoolVar(&o.verbose, "v", false, "say what passed")
	flag.Parse()
	if o.self {
		o.server = o.reference
	}
	if _, err := exec.LookPath(strings.Fields(o.reference)[0]); err != nil {
		fmt.Printf("skip  rawgrpc: no reference: %v\n0 passed, 0 failed, 1 skipped\n", err)
		os.Exit(77)
	}
	rules, err := readRules(differences)
	optional, errNewer := readRules(newer)
	if err = errors.Join(err, errNewer); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	needed := len(rules)
	rules = append(rules, optional...)
	addRandom(seeds)
	passed, failed, skipped := 0, 0, 0
	var todo []scenario
	chosen := 0
	for _, s := range scenarios {
		if !strings.Contains(s.name, o.only) {
			continue
		}
		if chosen++; (chosen-1)%sample != 0 {
			continue
		}
		if s.expect != "" && (o.self || o.show) {
			skipped++
			fmt.Printf("skip  %s: etcd 3.4 does otherwise\n", s.name)
			continue
		}
		todo = append(todo, s)
	}
	if o.show {
		jobs = 1
	}
	results := make([]chan []string, len(todo))
	free := make(chan bool, jobs)
	for i := range todo {
		results[i] = make(chan []string, 1)
	}
	go func() {
		for i, s := range todo {
			free <- true
			go func() {
				results[i] <- check(o, s, rules)
				<-free
			}()
		}
	}()
	for i, s := range todo {
		if found := <-results[i]; len(found) != 0 {
			failed++
			fmt.Printf("FAIL  %s\n      %s\n", s.name, strings.ReplaceAll(strings.Join(found, "\n"), "\n", "\n      "))
		} else {
			passed++
			if o.verbose {
				fmt.Println("ok    " + s.name)
			}
		}
	}
	if !o.self && !o.show {
		for i, r := range rules {
			fmt.Printf("difference %-28s %4d times: %s\n", r.name, r.used, r.reason)
			if r.used == 0 && i < needed && o.only == "" && sample == 1 {
				failed++
				fmt.Printf("FAIL  rule %s is still needed\n      it matched nothing: take it out\n", r.name)
			}
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	switch {
	case failed != 0:
		os.Exit(1)
	case passed == 0:
		os.Exit(77)
	}
}
