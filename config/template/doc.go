// Package template renders the texts of the configuration that depend on a call: headers, URIs, URLs and the bodies of
// requests. A Template is a text/template over the Vars of a call.
//
//	text ─▶ Parse: do its fields exist, and which does it use? ─▶ Template ─▶ Render(Vars) ─▶ text
//	                                                                     └──────▶ URL: values escaped, the host constant
//
// # Decisions
//
// Most results go into SIP headers, and values come from strangers. So the result of Render never contains a character
// that some reader takes for the end of a line, and never more than 4096 bytes. Tests: FuzzRender,
// TestRenderRefusesLineEnds.
//
// A template of only text and plain fields is concatenated without text/template, which allocates for each field. Both
// give the same result. Tests: FuzzPlainTemplate, TestPlainTemplatesAllocate.
package template
