// Whether a file is a dashboard as Grafana's own schema has it: every field known, of its type, and none missing.
//
//	grafana FILE
//
// It prints each mistake with where it stands, and how many panels there are if there is none.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	panels, err := judged(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(panels)
}

func judged(file string) (int, error) {
	// The schemas of panels and of queries.
	plugins.RegisterDefaultPlugins()
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var read dashboard.Dashboard
	// A list of mistakes, which is an error also where it is empty.
	if err := read.UnmarshalJSONStrict(raw); err != nil && err.Error() != "" {
		return 0, err
	}
	return len(read.Panels), read.Validate()
}
