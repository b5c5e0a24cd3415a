"""Questions to the log store.

`language` recognises the part of LogsQL that people may use, `policy` decides what is asked on their behalf, `client` asks,
`service` puts the answers together, `endpoints` speak HTTP.
"""
