// Random transcripts in the format of etcd-io/raft's own: random clusters, random commands, and what that project's
// implementation says to them, for raft-interaction to replay. A transcript that makes etcd-io/raft panic ends before
// that command.
//
// Usage: random -seed N -count N -steps N -out FOLDER
package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/rafttest"
	"google.golang.org/protobuf/proto"
)

const noLimit = ^uint64(0)

// setTimeout makes elections predictable: the library draws its time-outs from the system's randomness.
func setTimeout(node *raft.RawNode, ticks int) {
	field := reflect.ValueOf(node).Elem().FieldByName("raft").Elem().FieldByName("randomizedElectionTimeout")
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().SetInt(int64(ticks))
}

type transcript struct {
	rand    *rand.Rand
	env     *rafttest.InteractionEnv
	text    strings.Builder
	limits  limits
	members int
	async   bool
	options string // of add-nodes, but for the index
	serial  int    // of payloads
}

// What add-nodes of the library cannot be told; raft-interaction reads them from its command.
type limits struct {
	message, inflight, uncommitted uint64
	noForwarding                   bool
}

func newTranscript(seed int64) *transcript {
	t := &transcript{rand: rand.New(rand.NewSource(seed))}
	t.env = rafttest.NewInteractionEnv(&rafttest.InteractionOpts{
		SetRandomizedElectionTimeout: setTimeout,
		OnConfig: func(c *raft.Config) {
			c.MaxSizePerMsg = t.limits.message
			c.MaxInflightBytes = t.limits.inflight
			c.MaxUncommittedEntriesSize = t.limits.uncommitted
			c.DisableProposalForwarding = t.limits.noForwarding
		},
	})
	return t
}

func (t *transcript) oneIn(n int) bool { return t.rand.Intn(n) == 0 }

func (t *transcript) member() int { return 1 + t.rand.Intn(t.members) }

// mostlyLeader prefers a member that leads, where most of what can happen happens.
func (t *transcript) mostlyLeader() int {
	for i := range t.env.Nodes {
		if t.env.Nodes[i].BasicStatus().RaftState == raft.StateLeader && t.oneIn(2) {
			return i + 1
		}
	}
	return t.member()
}

// --- running a command ----------------------------------------------------------------------------------------------

func parse(line, input string) datadriven.TestData {
	words := strings.Fields(line)
	d := datadriven.TestData{Cmd: words[0], Input: input}
	for _, word := range words[1:] {
		key, values, found := strings.Cut(word, "=")
		arg := datadriven.CmdArg{Key: key}
		if found {
			arg.Vals = strings.Split(strings.Trim(values, "()"), ",")
		}
		d.CmdArgs = append(d.CmdArgs, arg)
	}
	return d
}

func isLocal(m *pb.Message) bool {
	return m.GetFrom() == m.GetTo() || raft.IsLocalMsgTarget(m.GetFrom()) || raft.IsLocalMsgTarget(m.GetTo())
}

// handleOwn runs the commands that only raft-interaction and we know.
func (t *transcript) handleOwn(d datadriven.TestData) bool {
	number := func(i int) int {
		n, err := strconv.Atoi(d.CmdArgs[i].Key)
		if err != nil {
			panic(err)
		}
		return n
	}
	switch d.Cmd {
	case "read-index":
		t.env.Nodes[number(0)-1].ReadIndex([]byte(d.CmdArgs[1].Key))
	case "report-snapshot":
		status := raft.SnapshotFinish
		if d.CmdArgs[2].Key == "failed" {
			status = raft.SnapshotFailure
		}
		t.env.Nodes[number(0)-1].ReportSnapshot(uint64(number(1)), status)
	case "restart":
		t.restart(number(0))
	case "duplicate-msgs":
		t.duplicate(uint64(number(0)))
	case "rotate-msgs":
		t.rotate(uint64(number(0)))
	default:
		return false
	}
	return true
}

// duplicate copies deeply: the library changes proposals that it steps.
func (t *transcript) duplicate(to uint64) {
	for _, m := range t.env.Messages[:len(t.env.Messages):len(t.env.Messages)] {
		if m.GetTo() == to && !isLocal(m) {
			t.env.Messages = append(t.env.Messages, proto.Clone(m).(*pb.Message))
		}
	}
}

// afterCrash is a storage that knows the configuration of what was applied, not of the last snapshot alone.
type afterCrash struct {
	rafttest.Storage
	configuration *pb.ConfState
}

func (s afterCrash) InitialState() (*pb.HardState, *pb.ConfState, error) {
	hard, _, err := s.Storage.InitialState()
	return hard, s.configuration, err
}

// applied is the newest of what a member applied and of what it installed as a snapshot.
func applied(node *rafttest.Node) (uint64, *pb.ConfState) {
	newest := node.History[len(node.History)-1].GetMetadata()
	if first, _ := node.FirstIndex(); newest.GetIndex() < first-1 {
		_, configuration, _ := node.Storage.InitialState()
		return first - 1, configuration
	}
	return newest.GetIndex(), newest.GetConfState()
}

// restart is a crash: what was not processed is gone.
func (t *transcript) restart(id int) {
	node := &t.env.Nodes[id-1]
	config := *node.Config
	index, configuration := applied(node)
	config.Applied = index
	config.Storage = afterCrash{node.Storage, configuration}
	var rest []*pb.Message
	for _, m := range t.env.Messages {
		if m.GetTo() != uint64(id) || !isLocal(m) {
			rest = append(rest, m)
		}
	}
	t.env.Messages = rest
	node.AppendWork, node.ApplyWork = nil, nil
	restarted, err := raft.NewRawNode(&config)
	if err != nil {
		panic(err)
	}
	node.RawNode = restarted
}

// crash restarts a member, unless it has applied more than it durably knows to be committed, where the library panics.
func (t *transcript) crash() {
	id := t.member()
	node := &t.env.Nodes[id-1]
	hard, _, _ := node.Storage.InitialState()
	if index, _ := applied(node); index <= hard.GetCommit() {
		t.do("restart %d", id)
	}
}

// rotate puts the first message to a member behind all others.
func (t *transcript) rotate(to uint64) {
	for i, m := range t.env.Messages {
		if m.GetTo() == to && !isLocal(m) {
			rest := append([]*pb.Message(nil), t.env.Messages[:i]...)
			t.env.Messages = append(append(rest, t.env.Messages[i+1:]...), m)
			return
		}
	}
}

func (t *transcript) do(format string, args ...any) { t.doInput("", format, args...) }

func (t *transcript) doInput(input, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	d := parse(line, input)
	output := "ok"
	if !t.handleOwn(d) {
		output = t.env.Handle(&testing.T{}, d)
	}
	if input != "" {
		input += "\n"
	}
	fmt.Fprintf(&t.text, "%s\n%s----\n%s\n\n", line, input, strings.TrimSuffix(output, "\n"))
}

// --- what is done ---------------------------------------------------------------------------------------------------

func (t *transcript) start() {
	t.members = 1 + t.rand.Intn(5)
	voters, learners := []string{"1"}, []string{}
	for i := 2; i <= t.members; i++ {
		if t.oneIn(6) {
			learners = append(learners, strconv.Itoa(i))
		} else if !t.oneIn(8) {
			voters = append(voters, strconv.Itoa(i))
		}
	}
	t.chooseOptions()
	who := "voters=(" + strings.Join(voters, ",") + ")"
	if len(learners) > 0 {
		who += " learners=(" + strings.Join(learners, ",") + ")"
	}
	t.do("log-level error")
	t.do("add-nodes %d %s index=%d%s", t.members, who, 2+t.rand.Intn(9), t.options)
}

func (t *transcript) chooseOptions() {
	option := func(n int, format string, args ...any) bool {
		chosen := t.oneIn(n)
		if chosen {
			t.options += " " + fmt.Sprintf(format, args...)
		}
		return chosen
	}
	t.async = option(2, "async-storage-writes=true")
	option(2, "prevote=true")
	option(2, "checkquorum=true")
	option(3, "step-down-on-removal=true")
	option(3, "inflight=%d", 1+t.rand.Intn(4))
	option(3, "max-committed-size-per-ready=%d", 1+t.rand.Intn(120))
	t.limits.message = noLimit
	if small := uint64(1 + t.rand.Intn(150)); option(2, "max-message-size=%d", small) {
		t.limits.message = small
		if window := small + uint64(t.rand.Intn(100)); option(2, "max-inflight-size=%d", window) {
			t.limits.inflight = window
		}
	}
	if size := uint64(1 + t.rand.Intn(100)); option(3, "max-uncommitted-size=%d", size) {
		t.limits.uncommitted = size
	}
	t.limits.noForwarding = option(6, "no-forwarding=true")
}

func (t *transcript) deliver() {
	types := []string{"MsgApp", "MsgAppResp", "MsgHeartbeat", "MsgHeartbeatResp", "MsgVoteResp", "MsgVote", "MsgSnap",
		"MsgStorageAppendResp"}
	to, extra := t.member(), ""
	if t.oneIn(6) {
		extra = " type=" + types[t.rand.Intn(len(types))]
	}
	if other := t.member(); other != to && t.oneIn(8) {
		extra += fmt.Sprintf(" drop=(%d)", other)
	}
	t.do("deliver-msgs %d%s", to, extra)
}

func (t *transcript) propose() {
	t.serial++
	t.do("propose %d p%d%s", t.mostlyLeader(), t.serial, strings.Repeat("x", t.rand.Intn(30)*t.rand.Intn(2)))
}

func (t *transcript) tick(command string, id int) {
	t.do("set-randomized-election-timeout %d timeout=%d", id, 3+t.rand.Intn(3))
	t.do("%s %d", command, id)
}

// compact drops at most what is applied.
func (t *transcript) compact() {
	id := t.member()
	node := &t.env.Nodes[id-1]
	first, _ := node.FirstIndex()
	last, _ := node.LastIndex()
	last = min(last, node.BasicStatus().Applied)
	if last >= first {
		t.do("compact %d %d", id, first+uint64(t.rand.Int63n(int64(last-first+1))))
	}
}

func (t *transcript) proposeChange() {
	var items []string
	for i := t.rand.Intn(4); i >= 0; i-- {
		items = append(items, string("vlrvlrvu"[t.rand.Intn(8)])+strconv.Itoa(1+t.rand.Intn(6)))
	}
	extra := ""
	switch t.rand.Intn(6) {
	case 0:
		items, extra = items[:1], " v1=true"
	case 1:
		extra = " transition=explicit"
	case 2:
		extra = " transition=implicit"
	case 3:
		items = items[:1]
	case 4:
		items = nil
	}
	t.doInput(strings.Join(items, " "), "propose-conf-change %d%s", t.mostlyLeader(), extra)
}

// addMember makes one that knows nothing and waits for a snapshot.
func (t *transcript) addMember() {
	if t.members < 6 {
		t.members++
		t.do("add-nodes 1%s", t.options)
	}
}

func (t *transcript) thread(command string) {
	if t.async {
		t.do("%s %d", command, t.member())
	}
}

// Each happens as often as its weight says.
var steps = []struct {
	weight int
	run    func(*transcript)
}{
	{50, func(t *transcript) { t.do("process-ready %d", t.member()) }},
	{45, (*transcript).deliver},
	{17, func(t *transcript) { t.thread("process-append-thread") }},
	{10, func(t *transcript) { t.thread("process-apply-thread") }},
	{18, (*transcript).propose},
	{8, func(t *transcript) { t.tick("tick-heartbeat", t.mostlyLeader()) }},
	{8, func(t *transcript) { t.tick("tick-election", t.member()) }},
	{3, func(t *transcript) { t.do("campaign %d", t.member()) }},
	{4, (*transcript).compact},
	{7, (*transcript).proposeChange},
	{3, func(t *transcript) { t.do("transfer-leadership from=%d to=%d", t.mostlyLeader(), t.member()) }},
	{2, func(t *transcript) { t.do("forget-leader %d", t.member()) }},
	{3, func(t *transcript) { t.do("report-unreachable %d %d", t.mostlyLeader(), t.member()) }},
	{3, func(t *transcript) { t.do("status %d", t.mostlyLeader()) }},
	{2, func(t *transcript) { t.do("raft-log %d", t.member()) }},
	{3, func(t *transcript) { t.do("raft-state") }},
	{4, func(t *transcript) { t.serial++; t.do("read-index %d r%d", t.mostlyLeader(), t.serial) }},
	{2, func(t *transcript) {
		t.do("report-snapshot %d %d %s", t.mostlyLeader(), t.member(), []string{"failed", "finished"}[t.rand.Intn(2)])
	}},
	{2, func(t *transcript) { t.do("duplicate-msgs %d", t.member()) }},
	{2, func(t *transcript) { t.do("rotate-msgs %d", t.member()) }},
	{2, (*transcript).crash},
	{1, (*transcript).addMember},
	{1, func(t *transcript) { t.do("stabilize log-level=none") }},
	{2, func(t *transcript) { t.do("stabilize %d", t.member()) }},
}

func (t *transcript) step() {
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	at := t.rand.Intn(total)
	for _, s := range steps {
		if at < s.weight {
			s.run(t)
			return
		}
		at -= s.weight
	}
}

// write makes the transcript; what the library panics with, if it does.
func (t *transcript) write(count int) (panicked any) {
	defer func() { panicked = recover() }()
	t.start()
	for i := 0; i < count; i++ {
		t.step()
	}
	t.do("raft-state")
	return nil
}

func main() {
	seed := flag.Int64("seed", 1, "of the first transcript; each of the others has the next")
	count := flag.Int("count", 100, "transcripts")
	length := flag.Int("steps", 300, "commands in each, about")
	out := flag.String("out", ".", "folder")
	flag.Parse()
	panics := map[string]int{}
	for i := int64(0); i < int64(*count); i++ {
		t := newTranscript(*seed + i)
		if p := t.write(*length); p != nil {
			panics[fmt.Sprint(p)]++
		}
		path := filepath.Join(*out, fmt.Sprintf("%08d.txt", *seed+i))
		if err := os.WriteFile(path, []byte(t.text.String()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	for text, n := range panics {
		fmt.Printf("%d transcripts end early, etcd-io/raft panics: %s\n", n, text)
	}
}
