"""The JSON API: one table of routes, from which dispatch, checks, the OpenAPI document and its guide are all made."""
