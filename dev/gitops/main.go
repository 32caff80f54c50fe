// What GitOps tools say of objects: a line of JSON for each file.
//
//	gitops kstatus FILE…
//	gitops flux KUSTOMIZATION FILE…
//	gitops health CUSTOMIZATIONS FILE…
//	gitops actions CUSTOMIZATIONS FILE…
//	gitops act CUSTOMIZATIONS ACTION FILE…
//
// CUSTOMIZATIONS is a directory such as Argo CD's resource_customizations, KUSTOMIZATION a file with Flux' Kustomizations.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

// verdict is what a tool says of an object.
type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// judge says something of an object.
type judge func(*unstructured.Unstructured) (any, error)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	judge, files, err := chosen(args)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for _, file := range files {
		object, err := read(file)
		if err != nil {
			return err
		}
		said, err := judge(object)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := out.Encode(said); err != nil {
			return err
		}
	}
	return nil
}

func chosen(args []string) (judge, []string, error) {
	take := func(n int) bool { return len(args) > n }
	switch {
	case take(1) && args[0] == "kstatus":
		return kstatus, args[1:], nil
	case take(2) && args[0] == "flux":
		judge, err := flux(args[1])
		return judge, args[2:], err
	case take(2) && args[0] == "health":
		return argoCD{args[1]}.health, args[2:], nil
	case take(2) && args[0] == "actions":
		return argoCD{args[1]}.actions, args[2:], nil
	case take(3) && args[0] == "act":
		return argoCD{args[1]}.act(args[2]), args[3:], nil
	}
	return nil, nil, fmt.Errorf("usage: gitops kstatus|flux|health|actions|act …")
}

func read(file string) (*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text, err = yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON(text)
}

func kstatus(object *unstructured.Unstructured) (any, error) {
	result, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	return verdict{string(result.Status), result.Message}, nil
}
