#!/usr/bin/env python3
"""Writes the dashboard: edit the description below, then

    python3 dashboard.py > dashboards/penstock.json

In an expression {@} stands for the chosen job and instances, {@L} and {@U} for the chosen listeners
or upstreams of those as well; RATE is Grafana's interval for rates.
"""

import json
import re
import sys

SELECTORS = {
    "@": 'job="$job", instance=~"$instance"',
    "@L": 'job="$job", instance=~"$instance", listener=~"$listener"',
    "@U": 'job="$job", instance=~"$instance", upstream=~"$upstream"',
}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

panels = []
spot = {"x": 0, "y": 0, "tallest": 0}  # where the next panel goes


def expand(expression):
    text = re.sub(r"\{(@[LU]?)", lambda found: "{" + SELECTORS[found.group(1)], expression)
    return " ".join(text.replace("RATE", "$__rate_interval").split())


def place(width, height):
    if spot["x"] + width > 24:
        spot.update(x=0, y=spot["y"] + spot["tallest"], tallest=0)
    where = {"x": spot["x"], "y": spot["y"], "w": width, "h": height}
    spot["x"] += width
    spot["tallest"] = max(spot["tallest"], height)
    return where


def targets(queries, **more):
    return [{"refId": chr(ord("A") + number), "datasource": SOURCE, "editorMode": "code",
             "expr": expand(expression), "legendFormat": legend, **more}
            for number, (expression, legend) in enumerate(queries)]


def thresholds(steps):
    colors = ["green", "orange", "red"]
    return {"mode": "absolute", "steps": [{"color": color, "value": value}
                                          for color, value in zip(colors, [None, *steps])]}


def add(kind, title, description, unit, width, height, custom=None, steps=(), **more):
    defaults = {"unit": unit, "custom": custom or {}, "thresholds": thresholds(steps), "min": 0}
    if unit == "percentunit" and kind == "timeseries":
        defaults["decimals"] = 2
    panels.append({"id": len(panels) + 1, "type": kind, "title": title, "description": description,
                   "datasource": SOURCE, "gridPos": place(width, height),
                   "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
                   **more})


def row(title):
    spot.update(x=0, y=spot["y"] + spot["tallest"], tallest=0)
    panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False,
                   "gridPos": place(24, 1), "panels": []})
    spot.update(x=0, y=spot["y"] + 1, tallest=0)


def stat(title, description, unit, expression, legend="", width=3, steps=(), text="value",
         kind="stat"):
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
               "orientation": "auto", "textMode": text, "colorMode": "value" if steps else "none",
               "graphMode": "none"}
    if kind == "bargauge":
        options = {"reduceOptions": options["reduceOptions"], "orientation": "horizontal",
                   "displayMode": "basic", "showUnfilled": True}
    add(kind, title, description, unit, width, 8 if kind == "bargauge" else 4, steps=steps,
        options=options, targets=targets([(expression, legend)], instant=True, range=False))


def graph(title, description, unit, *queries, width=8, stack=False):
    add("timeseries", title, description, unit, width, 8,
        custom={"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stack else 5,
                "showPoints": "never", "stacking": {"mode": "normal" if stack else "none"}},
        options={"legend": {"displayMode": "list", "placement": "bottom", "calcs": []},
                 "tooltip": {"mode": "multi", "sort": "desc"}},
        targets=targets(queries, range=True, instant=False))


def percentiles(metric, selector, by, shares=(0.5, 0.9, 0.99)):
    """Queries for graph(): one for each percentile."""
    label = " ".join("{{" + name + "}}" for name in by)
    return [(f"histogram_quantile({share}, sum by ({', '.join(by)}, le) "
             f"(rate({metric}_bucket{{{selector}}}[RATE])))", f"{label} p{share * 100:g}")
            for share in shares]


def table(title, description, columns, by, sort):
    """One line for each set of the labels `by`; a column is its title, unit, expression and, for states, their words."""
    overrides = []
    for number, (name, unit, _, words) in enumerate(columns):
        properties = [{"id": "displayName", "value": name}, {"id": "unit", "value": unit}]
        if words:
            options = {str(value): {"index": value, "text": word, "color": color}
                       for value, (word, color) in enumerate(words)}
            properties += [{"id": "mappings", "value": [{"type": "value", "options": options}]},
                           {"id": "custom.cellOptions", "value": {"type": "color-text"}}]
        overrides.append({"matcher": {"id": "byName", "options": "Value #" + chr(65 + number)},
                          "properties": properties})
    order = {**{name: at for at, name in enumerate(by)},
             **{"Value #" + chr(65 + at): len(by) + at for at in range(len(columns))}}
    add("table", title, description, "none", 24, 10, overrides=overrides,
        options={"showHeader": True, "sortBy": [{"displayName": sort, "desc": False}]},
        targets=targets([(expression, "") for _, _, expression, _ in columns],
                        format="table", instant=True, range=False),
        transformations=[{"id": "merge", "options": {}},
                         {"id": "organize", "options": {"excludeByName": {"Time": True},
                                                        "indexByName": order}}])


# ---- Overview

row("Overview")
stat("Proxies that answer", "Of all in this job, how many Prometheus can reach now.", "none",
     'sum(up{job="$job"})')
stat("Version", "What runs; during an upgrade of many machines more than one.", "none",
     "count by (version) (penstock_build_info{@})", "{{version}}", text="name")
stat("Youngest process", "Time since the last start of one of them.", "s",
     "min(time() - penstock_start_time_seconds{@})")
stat("Connections", "Clients connected now.", "none", "sum(penstock_connections_active{@})")
stat("New connections", "Accepted a second.", "cps",
     "sum(rate(penstock_listener_connections_total{@L}[RATE]))")
stat("Traffic", "Payload, both directions.", "Bps",
     "sum(rate(penstock_listener_bytes_total{@L}[RATE]))")
stat("Errors", "Share of ended connections that a backend or the proxy is to blame for.", "percentunit",
     """sum(rate(penstock_sessions_closed_total{@L, class=~"backend|proxy"}[RATE]))
        / clamp_min(sum(rate(penstock_sessions_closed_total{@L}[RATE])), 1e-9)""",
     steps=(0.001, 0.01))
stat("Backends that are out", "Their check is down or their circuit open, on any of the instances.", "none",
     "sum(1 - penstock_backend_up{@U})", steps=(1, 3))
graph("Connections", "Clients connected, for each instance.", "none",
      ("sum by (instance) (penstock_connections_active{@})", "{{instance}}"))
graph("New connections", "Accepted a second, for each listener.", "cps",
      ("sum by (listener) (rate(penstock_listener_connections_total{@L}[RATE]))", "{{listener}}"))
graph("Traffic", "Payload taken by the receiving side's kernel.", "Bps",
      ("sum by (listener, direction) (rate(penstock_listener_bytes_total{@L}[RATE]))",
       "{{listener}} {{direction}}"))

# ---- Service level: what rules/recording.yml records

row("Service level")
stat("Budget remaining", "Of the errors that the objective allows within 30 days: 1 = all, 0 = none.",
     "percentunit", 'listener:penstock_error_budget:remaining30d{job="$job", listener=~"$listener"}',
     "{{listener}} {{cluster}} {{namespace}}", width=6, text="value_and_name")
graph("Burn rate", "How many times faster than the objective allows errors come. 14.4 for an hour, or 6 for "
      "six hours, calls somebody.", "none",
      *((f"""sum by (namespace, cluster, listener) (
              listener_class:penstock_errors:ratio_rate{window}{{job="$job", listener=~"$listener"}})
            / on () group_left () penstock:error_budget:ratio""",
         f"{{{{listener}}}} {{{{cluster}}}} {{{{namespace}}}} {window}") for window in ("1h", "6h")), width=9)
graph("Share of errors", "By whose fault: the backends', or the proxy's own limits.", "percentunit",
      ('listener_class:penstock_errors:ratio_rate5m{job="$job", listener=~"$listener"}',
       "{{listener}} {{cluster}} {{namespace}} {{class}}"), width=9)

# ---- Why connections ended

row("Why connections ended")
graph("By class", "Who has to look: ok and client nobody, policy is configured, operator was one of you.", "cps",
      ('sum by (class) (rate(penstock_sessions_closed_total{@L, upstream=~"$upstream|"}[RATE]))',
       "{{class}}"), stack=True)
graph("By reason", "All reasons but completed, as in the access log.", "cps",
      ("""sum by (reason) (rate(penstock_sessions_closed_total{@L, upstream=~"$upstream|",
          reason!="completed"}[RATE])) > 0""", "{{reason}}"), stack=True)
graph("Turned away by the listener", "Its limits and lists; would: what dry_run let pass.",
      "cps",
      ("sum by (listener, reason) (rate(penstock_listener_refused_total{@L}[RATE])) > 0",
       "{{listener}} {{reason}}"),
      ("sum by (listener, reason) (rate(penstock_listener_would_refuse_total{@L}[RATE])) > 0",
       "{{listener}} would {{reason}}"))

# ---- Times

row("Times")
graph("Set-up", "From accept until the connection to the backend is there.", "s",
      *percentiles("penstock_session_setup_seconds", '@L, upstream=~"$upstream"', ["listener"]))
graph("First byte", "From the connection to the backend until its first byte.", "s",
      *percentiles("penstock_backend_first_byte_seconds", "@U", ["upstream"]))
graph("Connecting", "One attempt to reach a backend, TLS included.", "s",
      *percentiles("penstock_backend_connect_seconds", "@U", ["upstream"]))
graph("Waiting for a slot", "In the upstream's queue, or held.", "s",
      *percentiles("penstock_upstream_queue_seconds", "@U", ["upstream"]), width=12)
graph("Lifetime", "From accept to the end of the connection.", "s",
      *percentiles("penstock_session_duration_seconds", "@L", ["listener"], (0.5, 0.99)), width=12)

# ---- Saturation

row("Saturation: 1 = at the limit")
graph("Process", "Connections, descriptors and memory, each of what is allowed.", "percentunit",
      ("penstock_connections_active{@} / penstock_connections_limit{@}", "{{instance}} connections"),
      ("process_open_fds{@} / process_max_fds{@}", "{{instance}} descriptors"),
      ("process_resident_memory_bytes{@} / (penstock_memory_limit_bytes{@} > 0)", "{{instance}} memory"))
graph("Listeners", "Connections of max_connections, and the kernel's queue of what it can hold.", "percentunit",
      ("penstock_listener_connections_active{@L} / (penstock_listener_connections_limit{@L} > 0)",
       "{{instance}} {{listener}}"),
      ("penstock_listener_accept_queue_length{@L} / (penstock_listener_accept_queue_limit{@L} > 0)",
       "{{instance}} {{listener}} accept queue"))
graph("Backends", "Connections of their max_connections.", "percentunit",
      ("penstock_backend_connections_active{@U} / (penstock_backend_connections_limit{@U} > 0)",
       "{{instance}} {{upstream}}/{{backend}}"))
graph("Queues", "Clients that wait for a slot, of those that may.", "percentunit",
      ("penstock_upstream_queue_length{@U} / (penstock_upstream_queue_limit{@U} > 0)",
       "{{instance}} {{upstream}}"))
graph("Waiting", "Clients in queues, and those held because no backend is there or the upstream is paused.", "none",
      ("sum by (upstream) (penstock_upstream_queue_length{@U})", "{{upstream}} queued"),
      ("sum by (upstream) (penstock_upstream_held{@U})", "{{upstream}} held"))
graph("Second attempts", "Attempts after the first one; those not made for want of budget.", "cps",
      ("sum by (upstream) (rate(penstock_upstream_retries_total{@U}[RATE]))", "{{upstream}}"),
      ("sum by (upstream) (rate(penstock_upstream_retry_budget_exhausted_total{@U}[RATE]))",
       "{{upstream}} not made"))

# ---- Backends

row("Backends")
BY = "by (instance, upstream, backend)"
table("Backends", "As each instance sees them. Failed: attempts and sessions that failed by its fault.", [
    ("Up", "none", f"max {BY} (penstock_backend_up{{@U}})", [("out", "red"), ("up", "green")]),
    ("Eligible", "none", f"max {BY} (penstock_backend_eligible{{@U}})", [("no", "orange"), ("yes", "green")]),
    ("Check", "none", f"max {BY} (penstock_backend_check_up{{@U}})", [("down", "red"), ("up", "green")]),
    ("Circuit", "none", f"max {BY} (penstock_backend_circuit_state{{@U}})",
     [("closed", "green"), ("half-open", "orange"), ("open", "red")]),
    ("State", "none", f"max {BY} (penstock_backend_admin_state{{@U}})",
     [("ready", "green"), ("drain", "orange"), ("maintenance", "orange")]),
    ("Role", "none", f"max {BY} (penstock_backend_role{{@U}})",
     [("-", "text"), ("primary", "blue"), ("replica", "text")]),
    ("By hand", "none", f"max {BY} (penstock_backend_override{{@U}})", [("-", "text"), ("changed", "orange")]),
    ("Weight", "none", f"max {BY} (penstock_backend_weight{{@U}})", None),
    ("Active", "none", f"sum {BY} (penstock_backend_connections_active{{@U}})", None),
    ("New/s", "cps", f"sum {BY} (rate(penstock_backend_connections_total{{@U}}[RATE]))", None),
    ("Failed", "percentunit", f"""(sum {BY} (rate(penstock_backend_connect_failures_total{{@U}}[RATE]))
        + sum {BY} (rate(penstock_backend_sessions_closed_total{{@U, class="backend"}}[RATE])))
        / clamp_min(sum {BY} (rate(penstock_backend_connect_failures_total{{@U}}[RATE]))
        + sum {BY} (rate(penstock_backend_connections_total{{@U}}[RATE])), 1e-9)""", None),
    ("Connect p99", "s", """histogram_quantile(0.99, sum by (instance, upstream, backend, le)
        (rate(penstock_backend_connect_seconds_bucket{@U}[RATE]))) >= 0""", None),
], ["instance", "upstream", "backend"], "Up")
graph("Connections", "Sessions of each backend, those being made included.", "none",
      ("sum by (upstream, backend) (penstock_backend_connections_active{@U})", "{{upstream}}/{{backend}}"))
graph("Attempts that failed", "By backend and error.", "cps",
      ("sum by (upstream, backend, error) (rate(penstock_backend_connect_failures_total{@U}[RATE])) > 0",
       "{{upstream}}/{{backend}} {{error}}"))
graph("Backends that may be chosen", "Eligible ones of all, and whether the upstream panics.", "none",
      ("max by (upstream) (penstock_upstream_backends_eligible{@U})", "{{upstream}}"),
      ("max by (upstream) (penstock_upstream_backends{@U})", "{{upstream}} of"),
      ("max by (upstream) (penstock_upstream_panic{@U}) > 0", "{{upstream}} panics"))
graph("Checks", "How long they take.", "s",
      *percentiles("penstock_backend_check_seconds", "@U", ["upstream"], (0.5, 0.99)))
graph("Changes of state", "Checks that turned up or down, circuits that opened.", "none",
      ("sum by (upstream, to) (increase(penstock_backend_check_transitions_total{@U}[RATE]))",
       "{{upstream}} check {{to}}"),
      ("sum by (upstream) (increase(penstock_backend_circuit_opened_total{@U}[RATE]))",
       "{{upstream}} circuit opened"))
graph("Warm connections", "Open ahead of need; sessions that found one, or none.", "none",
      ("sum by (upstream) (penstock_backend_warm_connections{@U})", "{{upstream}} open"),
      ("sum by (upstream, result) (rate(penstock_backend_warm_total{@U}[RATE])) > 0",
       "{{upstream}} {{result}}/s"))

# ---- TLS

row("TLS")
graph("Handshakes", "With clients: full, resumed, failed, or too slow.", "cps",
      ("sum by (listener, result) (rate(penstock_tls_handshakes_total{@L}[RATE]))",
       "{{listener}} {{result}}"))
graph("Resumed", "Share of the good handshakes that were resumed, and of all that failed.", "percentunit",
      ("""sum by (listener) (rate(penstock_tls_handshakes_total{@L, result="resumed"}[RATE]))
          / (sum by (listener) (rate(penstock_tls_handshakes_total{@L, result=~"full|resumed"}[RATE])) > 0)""",
       "{{listener}} resumed"),
      ("""sum by (listener) (rate(penstock_tls_handshakes_total{@L, result=~"failed|timeout"}[RATE]))
          / (sum by (listener) (rate(penstock_tls_handshakes_total{@L}[RATE])) > 0)""",
       "{{listener}} failed"))
graph("Duration of handshakes", "The wait for their turn included.", "s",
      *percentiles("penstock_tls_handshake_seconds", "@L", ["listener"]))
stat("Certificates end in", "The first of each file. Below three weeks an alert tells.", "s",
     "min by (owner, file) (penstock_tls_certificate_not_after_timestamp_seconds{@} - time())",
     "{{owner}} {{file}}", width=16, kind="bargauge")
graph("Certificates changed", "Changes on disk that came into force, or were refused.", "none",
      ("sum by (result) (increase(penstock_tls_certificate_reloads_total{@}[RATE]))", "{{result}}"))

# ---- DNS

row("Names")
graph("Look-ups", "Of upstreams that look names up.", "reqps",
      ("sum by (upstream, result) (rate(penstock_dns_queries_total{@U}[RATE]))",
       "{{upstream}} {{result}}"))
graph("Age of the last good answer", "Grows while names cannot be looked up.", "s",
      ("max by (instance, upstream) (time() - (penstock_dns_last_success_timestamp_seconds{@U} > 0))",
       "{{instance}} {{upstream}}"))
graph("Backends", "How many each upstream has: what look-ups found, and what the file lists.", "none",
      ("max by (upstream) (penstock_upstream_backends{@U})", "{{upstream}}"))

# ---- Workers and process

row("Workers and process")
graph("Loop lag, p99", "How long one turn of a worker kept later events waiting.", "s",
      *percentiles("penstock_worker_loop_lag_seconds", "@", ["instance", "worker"], (0.99,)))
graph("Busy", "Share of its time that a worker did not wait for events.", "percentunit",
      ("rate(penstock_worker_busy_seconds_total{@}[RATE])", "{{instance}} {{worker}}"))
graph("Connections of workers", "They should have about the same.", "none",
      ("penstock_worker_connections_active{@}", "{{instance}} {{worker}}"))
graph("CPU", "User and system: 1 = one core.", "none",
      ("rate(process_cpu_seconds_total{@}[RATE])", "{{instance}}"))
graph("Memory", "In RAM, and the limit from which on clients are turned away.", "bytes",
      ("process_resident_memory_bytes{@}", "{{instance}}"),
      ("penstock_memory_limit_bytes{@} > 0", "{{instance}} limit"))
graph("Descriptors", "Open, and the most that may be.", "none",
      ("process_open_fds{@}", "{{instance}}"), ("process_max_fds{@}", "{{instance}} limit"))
graph("Log lines", "Written; lost because the disk is too slow; left out under a flood.", "cps",
      ("sum by (instance) (rate(penstock_access_log_lines_total{@}[RATE]))", "{{instance}}"),
      ("sum by (instance) (rate(penstock_access_log_dropped_total{@}[RATE]))", "{{instance}} lost"),
      ("sum by (instance) (rate(penstock_log_dropped_total{@}[RATE]))", "{{instance}} process log lost"),
      ("sum by (instance) (rate(penstock_access_log_suppressed_total{@}[RATE]))", "{{instance}} left out"))
graph("Failures of accept()", "By error; no_fd means that descriptors have run out.", "cps",
      ("sum by (listener, error) (rate(penstock_listener_accept_errors_total{@L}[RATE]))",
       "{{listener}} {{error}}"))
graph("Waits for an operator", "1 = the last reload failed, a restart is due, readiness is off; old processes that still serve.",
      "none",
      ("1 - penstock_config_last_reload_successful{@}", "{{instance}} reload failed"),
      ("penstock_config_restart_required{@}", "{{instance}} restart due"),
      ("penstock_draining{@}", "{{instance}} draining"),
      ("penstock_old_processes{@}", "{{instance}} old processes"))

# ---- What is drawn over all graphs, and what can be chosen


def annotation(name, color, expression, title, at_value=False):
    return {"name": name, "enable": True, "hide": False, "iconColor": color, "datasource": SOURCE,
            "expr": expand(expression), "step": "15s", "titleFormat": title, "textFormat": "",
            "useValueForTime": "on" if at_value else False}


def variable(name, metric, label, many=True):
    query = f"label_values({expand(metric)}, {label})"
    choice = {"includeAll": True, "multi": True, "allValue": ".*",
              "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return {"name": name, "type": "query", "datasource": SOURCE, "definition": query,
            "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "hide": 0,
            **(choice if many else {"includeAll": False, "multi": False})}


dashboard = {
    "uid": "penstock", "title": "Penstock", "tags": ["penstock"], "schemaVersion": 38, "version": 1,
    "editable": True, "graphTooltip": 1, "refresh": "30s", "timezone": "",
    "time": {"from": "now-3h", "to": "now"},
    "templating": {"list": [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "hide": 0},
        variable("job", "penstock_build_info", "job", many=False),
        variable("instance", 'penstock_build_info{job="$job"}', "instance"),
        variable("listener", "penstock_listener_connections_total{@}", "listener"),
        variable("upstream", "penstock_upstream_backends{@}", "upstream"),
    ]},
    "annotations": {"list": [
        annotation("Configuration loaded", "blue",
                   "penstock_config_last_reload_success_timestamp_seconds{@} * 1000",
                   "{{instance}}: another configuration", at_value=True),
        annotation("Reload refused", "red",
                   'increase(penstock_config_reloads_total{@, result="failure"}[1m]) > 0',
                   "{{instance}}: a reload was refused"),
        annotation("Process started", "purple", "penstock_start_time_seconds{@} * 1000",
                   "{{instance}}: started, or upgraded", at_value=True),
        annotation("Backends", "orange", "changes(penstock_backend_up{@U}[1m]) > 0",
                   "{{instance}}: {{upstream}}/{{backend}} went out or came back"),
        annotation("Alerts", "dark-red", 'ALERTS{job="$job", alertstate="firing"}',
                   "{{alertname}} {{instance}} {{upstream}} {{listener}}"),
    ]},
    "panels": panels,
}

json.dump(dashboard, sys.stdout, indent=1, ensure_ascii=False)
print()
