package main

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"
	"sync"
)

// A rule allows one note to differ; the file's format is that of ../../corefiles/differences.py.
type rule struct {
	name, reason, cases, where string
	oracle, warren             *regexp.Regexp
	used                       int
}

func readRules(file string) ([]*rule, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rules []*rule
	for number, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, is := strings.CutPrefix(line, "rule "); is {
			rules = append(rules, &rule{name: name, cases: "*", where: ".*"})
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if len(rules) == 0 {
			return nil, fmt.Errorf("%s:%d: text before the first rule", file, number+1)
		}
		r := rules[len(rules)-1]
		switch key {
		case "reason":
			r.reason = value
		case "cases":
			r.cases = value
		case "where":
			r.where = value
		case "oracle", "warren":
			pattern, err := regexp.Compile("(?s)^(?:" + value + ")$")
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, number+1, err)
			}
			if key == "oracle" {
				r.oracle = pattern
			} else {
				r.warren = pattern
			}
		default:
			return nil, fmt.Errorf("%s:%d: what is %q?", file, number+1, key)
		}
	}
	for _, r := range rules {
		if r.reason == "" || r.oracle == nil || r.warren == nil {
			return nil, fmt.Errorf("%s: rule %s lacks a reason or a pattern", file, r.name)
		}
	}
	return rules, nil
}

var rulesLock sync.Mutex

func allowed(rules []*rule, name string, a, b note) bool {
	rulesLock.Lock()
	defer rulesLock.Unlock()
	for _, r := range rules {
		matched, _ := path.Match(r.cases, name)
		where, _ := regexp.MatchString("^(?:"+r.where+")$", a.step)
		if (matched || r.cases == "*") && where && r.oracle.MatchString(a.text) && r.warren.MatchString(b.text) {
			r.used++
			return true
		}
	}
	return false
}
