"""Counts checks and prints what tools/test sums: failures as they happen, skips with their reasons, and a last line
`N passed, N failed, N skipped`. Exit code 1 on a failure, 77 if nothing could run, else 0."""
import sys
import traceback


class Report:
    def __init__(self, verbose=False):
        self.passed = self.failed = self.skipped = 0
        self.verbose = verbose

    def check(self, what, good, detail=""):
        if good:
            self.passed += 1
            if self.verbose:
                print("ok    " + what, flush=True)
        else:
            self.failed += 1
            print("FAIL  " + what + ("\n      " + str(detail).replace("\n", "\n      ") if detail != "" else ""), flush=True)
        return bool(good)

    def equal(self, what, got, wanted):
        return self.check(what, got == wanted, "got:    %r\nwanted: %r" % (got, wanted))

    def skip(self, what, reason):
        self.skipped += 1
        print("skip  %s: %s" % (what, reason), flush=True)

    def run(self, what, function, *args):
        """Runs one test function; an exception is a failure, not the end of the run."""
        try:
            function(*args)
        except Exception:
            self.check(what, False, traceback.format_exc())
        except SystemExit as e:
            self.check(what, False, e.code)

    def finish(self):
        print("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped), flush=True)
        sys.exit(1 if self.failed else 0 if self.passed else 77)
