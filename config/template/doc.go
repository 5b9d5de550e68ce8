// Package template renders the texts of the configuration that depend on a call: headers, URIs,
// URLs and the bodies of requests. A Template is a text/template over the Vars of a call.
//
//	text ─▶ Parse: do its fields exist, which of them does it use? ─▶ Template ─▶ Render(Vars) ─▶ text
//	                                                                     └──────▶ URL: values escaped, the host constant
//
// # Decisions
//
// What Render gives never holds a character that ends a line for some reader, and never more
// than 4096 bytes, because most of it stands in headers of SIP. Values come from strangers.
// Held by FuzzRender and TestRenderRefusesLineEnds.
//
// A template of plain fields alone is joined without text/template, which allocates for each
// field. Both give the same. Held by FuzzPlainTemplate and TestPlainTemplatesAllocate.
package template
