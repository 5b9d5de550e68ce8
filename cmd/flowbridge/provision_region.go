package main

import (
	"fmt"
	"net/url"

	"flowbridge/config"
)

// regionOfAPI is the region that an API's host belongs to; zero for a host of no platform, a stand-in or a proxy. A host of
// the other platform, or of another region than the command line names, is an error: an account of one region is not
// known in another.
func (o *connection) regionOfAPI(api, named string) (config.Region, error) {
	u, err := url.Parse(api)
	if err != nil {
		return config.Region{}, fmt.Errorf("--api: %w", err)
	}
	kind, r, ok := config.RegionOfHost(u.Hostname())
	switch {
	case !ok:
		return config.Region{}, nil
	case kind != o.kind:
		return config.Region{}, fmt.Errorf("--api %s is an API of %s, and this command is for %s", api, kind, o.kind)
	case named != "" && named != r.Name:
		return config.Region{}, fmt.Errorf("--api %s is of region %s, and --region is %s: write one of the two", api, r.Name, named)
	}
	return r, nil
}
