package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"indelible/test/terraform/schema"
)

// secretMark begins every ephemeral password.
const secretMark = "ephemeralsecret"

// server answers from schemas alone.
type server struct {
	provider                   *tfprotov6.Schema
	resources, data, ephemeral map[string]*tfprotov6.Schema
}

var _ tfprotov6.ProviderServer = (*server)(nil)

func newServer(p schema.Provider) (*server, error) {
	config, err := protoBlock(p.Config)
	if err != nil {
		return nil, err
	}
	s := &server{provider: &tfprotov6.Schema{Block: config}}
	var errs [3]error
	s.resources, errs[0] = schemas(p.Resources)
	s.data, errs[1] = schemas(p.Data)
	s.ephemeral, errs[2] = schemas(p.Ephemeral)
	return s, errors.Join(errs[:]...)
}

func failed(err error) []*tfprotov6.Diagnostic {
	if err == nil {
		return nil
	}
	return []*tfprotov6.Diagnostic{{Severity: tfprotov6.DiagnosticSeverityError, Summary: err.Error()}}
}

// changed is a value of a resource after a change.
func changed(s *tfprotov6.Schema, v *tfprotov6.DynamicValue, change func(tftypes.Value) (tftypes.Value, error)) (*tfprotov6.DynamicValue, error) {
	t := s.ValueType()
	value, err := v.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	if value, err = change(value); err != nil {
		return nil, err
	}
	out, err := tfprotov6.NewDynamicValue(t, value)
	return &out, err
}

func (s *server) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	r := &tfprotov6.GetMetadataResponse{ServerCapabilities: &tfprotov6.ServerCapabilities{PlanDestroy: false}}
	for name := range s.resources {
		r.Resources = append(r.Resources, tfprotov6.ResourceMetadata{TypeName: name})
	}
	for name := range s.data {
		r.DataSources = append(r.DataSources, tfprotov6.DataSourceMetadata{TypeName: name})
	}
	for name := range s.ephemeral {
		r.EphemeralResources = append(r.EphemeralResources, tfprotov6.EphemeralResourceMetadata{TypeName: name})
	}
	return r, nil
}

func (s *server) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	return &tfprotov6.GetProviderSchemaResponse{
		Provider: s.provider, ResourceSchemas: s.resources, DataSourceSchemas: s.data, EphemeralResourceSchemas: s.ephemeral,
	}, nil
}

// ValidateResourceConfig refuses values for what the provider alone decides, which
// terraform leaves to providers.
func (s *server) ValidateResourceConfig(_ context.Context, r *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	of := s.resources[r.TypeName]
	var decided error
	_, err := changed(of, r.Config, func(v tftypes.Value) (tftypes.Value, error) {
		return within(v, func(fields map[string]tftypes.Value) error {
			for _, a := range of.Block.Attributes {
				if a.Computed && !a.Optional && !fields[a.Name].IsNull() {
					decided = fmt.Errorf("the value of %q is decided by the provider, and cannot be set", a.Name)
				}
			}
			return nil
		})
	})
	return &tfprotov6.ValidateResourceConfigResponse{Diagnostics: failed(errors.Join(err, decided))}, nil
}

func (s *server) PlanResourceChange(_ context.Context, r *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	of := s.resources[r.TypeName]
	v, err := changed(of, r.ProposedNewState, func(v tftypes.Value) (tftypes.Value, error) { return chosen(of.Block, v) })
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: v, Diagnostics: failed(err)}, nil
}

func (s *server) ApplyResourceChange(_ context.Context, r *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	v, err := changed(s.resources[r.TypeName], r.PlannedState, func(v tftypes.Value) (tftypes.Value, error) { return known(r.TypeName, v) })
	return &tfprotov6.ApplyResourceChangeResponse{NewState: v, Diagnostics: failed(err)}, nil
}

func (s *server) ReadResource(_ context.Context, r *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	return &tfprotov6.ReadResourceResponse{NewState: r.CurrentState}, nil
}

func (s *server) UpgradeResourceState(_ context.Context, r *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	t := s.resources[r.TypeName].ValueType()
	value, err := r.RawState.Unmarshal(t)
	if err != nil {
		return &tfprotov6.UpgradeResourceStateResponse{Diagnostics: failed(err)}, nil
	}
	v, err := tfprotov6.NewDynamicValue(t, value)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &v, Diagnostics: failed(err)}, nil
}

func (s *server) ReadDataSource(ctx context.Context, r *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	of := s.data[r.TypeName]
	v, err := changed(of, r.Config, func(v tftypes.Value) (tftypes.Value, error) {
		if r.TypeName == "http" {
			var err error
			if v, err = fetched(ctx, v); err != nil {
				return v, err
			}
		}
		v, err := chosen(of.Block, v)
		if err != nil {
			return v, err
		}
		return known("data-"+r.TypeName, v)
	})
	return &tfprotov6.ReadDataSourceResponse{State: v, Diagnostics: failed(err)}, nil
}

// fetched is the data source http.
func fetched(ctx context.Context, v tftypes.Value) (tftypes.Value, error) {
	return within(v, func(fields map[string]tftypes.Value) error {
		var from string
		if err := fields["url"].As(&from); err != nil {
			return err
		}
		status, body, err := answer(ctx, from)
		if err != nil {
			return err
		}
		fields["status_code"] = tftypes.NewValue(tftypes.Number, status)
		for _, f := range []string{"response_body", "body"} {
			fields[f] = tftypes.NewValue(tftypes.String, body)
		}
		return nil
	})
}

func answer(ctx context.Context, from string) (int, string, error) {
	u, err := url.Parse(from)
	if err != nil {
		return 0, "", err
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		answers := map[string]string{}
		data, err := os.ReadFile(os.Getenv("REPLAY_ANSWERS"))
		if err == nil {
			err = json.Unmarshal(data, &answers)
		}
		for beginning, body := range answers {
			if strings.HasPrefix(from, beginning) {
				return http.StatusOK, body, nil
			}
		}
		return 0, "", errors.Join(err, fmt.Errorf("REPLAY_ANSWERS has no answer of %s", from))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, string(body), err
}

func (s *server) OpenEphemeralResource(_ context.Context, r *tfprotov6.OpenEphemeralResourceRequest) (*tfprotov6.OpenEphemeralResourceResponse, error) {
	of := s.ephemeral[r.TypeName]
	v, err := changed(of, r.Config, func(v tftypes.Value) (tftypes.Value, error) {
		v, err := within(v, func(fields map[string]tftypes.Value) error {
			fields["result"] = tftypes.NewValue(tftypes.String, secretMark+rand.Text())
			return nil
		})
		if err != nil {
			return v, err
		}
		if v, err = chosen(of.Block, v); err != nil {
			return v, err
		}
		return known(r.TypeName, v)
	})
	return &tfprotov6.OpenEphemeralResourceResponse{Result: v, Diagnostics: failed(err)}, nil
}
