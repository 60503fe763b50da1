package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"indelible/checkpoint"
	"indelible/verify"
)

// fileResult is how one file ended, as JSON has it.
type fileResult struct {
	File string `json:"file"`
	verify.Result
	Warnings []string `json:"warnings,omitempty"` // what a policy is weaker in than it looks, which givenLogs has said
	Error    string   `json:"error,omitempty"`    // why the file was not looked at
	Exit     int      `json:"exit"`
}

func warningsOf(policy *checkpoint.Policy) []string {
	if policy == nil {
		return nil
	}
	return policy.Warnings()
}

// verifyAll verifies files, all of them whatever becomes of one.
func (p *program) verifyAll(files []string, from proofFlags, whom trustFlags, quiet bool) error {
	if len(files) == 1 {
		v, err := p.verify(files[0], from, whom)
		if err != nil {
			return err
		}
		return p.finish([]fileResult{v.ended(nil)}, quiet)
	}
	if from.proof != "" {
		return usagef("--proof is of one file; of several, each has its proof beside it, or --bundle has all of their bundles")
	}
	stderr := p.stderr
	defer func() { p.stderr = stderr }()
	var all []fileResult
	for _, file := range files {
		v, err := p.verify(file, from, whom)
		p.stderr = io.Discard // warnings are of what is trusted, the same for all files
		v.File = file
		all = append(all, v.ended(err))
	}
	return p.finish(all, quiet)
}

// ended adds the exit code, and what went wrong.
func (v fileResult) ended(err error) fileResult {
	switch {
	case err != nil:
		v.Exit, v.Error = code(err), err.Error()
	case !v.Verified:
		v.Exit = exitUnverified
	}
	return v
}

// finish prints how all files ended, and returns the worst: a file that is not verified
// before one that could not be looked at.
func (p *program) finish(all []fileResult, quiet bool) (err error) {
	switch {
	case p.output == "json" && len(all) == 1:
		err = p.print(all[0], "")
	case p.output == "json":
		err = p.print(all, "")
	case quiet:
		for _, v := range all {
			if v.Exit != exitDone {
				fmt.Fprintf(p.stdout, "%s: %s\n", oneLine(v.File), v.why())
			}
		}
	default:
		p.printVerdicts(all)
	}
	if err != nil {
		return err
	}
	worst := exitDone
	for _, v := range all {
		if worst != exitUnverified && v.Exit > worst || v.Exit == exitUnverified {
			worst = v.Exit
		}
	}
	if worst == exitDone {
		return nil
	}
	return reported{&exitError{worst, errors.New("not verified")}}
}

// why says in one line why a file is not verified.
func (v fileResult) why() string {
	if f := v.Failed(); f != nil {
		return fmt.Sprintf("the %s check failed: %s", f.Name, oneLine(dated(f.Detail)))
	}
	first, _, _ := strings.Cut(v.Error, "\n")
	return oneLine(first)
}

// printVerdicts prints each file's checks, and of several files a table.
func (p *program) printVerdicts(all []fileResult) {
	for _, v := range all {
		if len(all) > 1 {
			fmt.Fprintf(p.stdout, "%s\n", oneLine(v.File))
		}
		if v.Error != "" {
			fmt.Fprintf(p.stdout, "\n%s %s\n", p.colour("1;31", "NOT VERIFIED"), harmless(v.Error))
		} else {
			p.printChecks(v.File, v.Result)
		}
		if len(all) > 1 {
			fmt.Fprintln(p.stdout)
		}
	}
	if len(all) == 1 {
		return
	}
	w, verified := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0), 0
	for _, v := range all {
		if v.Exit == exitDone {
			verified++
			fmt.Fprintf(w, "%s\tverified\t%s, number %d\n", oneLine(v.File), oneLine(v.Origin), v.Index)
		} else {
			fmt.Fprintf(w, "%s\tNOT VERIFIED\t%.150s\n", oneLine(v.File), v.why())
		}
	}
	w.Flush()
	fmt.Fprintf(p.stdout, "\n%d of %d files are verified.\n", verified, len(all))
}
