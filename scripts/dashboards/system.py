"""System: the nodes, as their agents see them."""

from model import Dashboard, gauge, graph, stat, table

RED_FROM_90 = ((None, "green"), (75, "yellow"), (90, "red"))
NODES = 'noetl_component_up{component_type="node_agent"}'
FILESYSTEM = "100 * (1 - node_filesystem_avail_bytes{@} / (node_filesystem_size_bytes{@} > 0))"
WHERE = "{{component}} {{device}}"

OVERVIEW = (
    stat(
        "Nodes reporting",
        "Nodes whose agent reported or sent a heartbeat lately. No data means that no agent has "
        "reported yet.",
        "short",
        'sum(noetl_component_up{@,component_type="node_agent"})',
    ),
    stat(
        "Nodes silent",
        "Nodes whose agent fell silent. They leave the export a day after they were last heard.",
        "short",
        'sum(1 - noetl_component_up{@,component_type="node_agent"})',
        ((None, "green"), (1, "red")),
    ),
    gauge(
        "CPU",
        "CPU in use, averaged over the chosen nodes.",
        'avg(noetl_system_cpu_usage_percent{@,component_type="node_agent"})',
        RED_FROM_90,
    ),
    gauge(
        "Memory, fullest node",
        "Memory in use on the node that has least left.",
        'max(noetl_system_memory_usage_percent{@,component_type="node_agent"})',
        RED_FROM_90,
    ),
    gauge(
        "Fullest file system",
        "Use of the fullest file system of the chosen nodes.",
        f"max({FILESYSTEM})",
        RED_FROM_90,
    ),
    stat(
        "Oldest report",
        "Age of the oldest newest report: how far behind the slowest agent is.",
        "s",
        'max(noetl_component_last_report_age_seconds{@,component_type="node_agent"})',
        ((None, "green"), (150, "yellow"), (300, "red")),
    ),
)

CPU = (
    graph(
        "CPU use",
        "CPU in use of each node, 0 to 100. No data means that its agent has not reported twice.",
        "percent",
        ('noetl_system_cpu_usage_percent{@,component_type="node_agent"}', "{{component}}"),
        top=100,
    ),
    graph(
        "CPU by mode",
        "CPU seconds per second, by what they went to, over the chosen nodes.",
        "short",
        (
            'sum by (mode) (rate(node_cpu_seconds_total{@,mode!="idle"}[$__rate_interval]))',
            "{{mode}}",
        ),
    ),
    graph(
        "Load for each core",
        "Load of five minutes divided by cores: above 1, work waits for CPU.",
        "short",
        (
            "sum by (component) (node_load5{@}) / "
            'count by (component) (rate(node_cpu_seconds_total{@,mode="idle"}[$__rate_interval]))',
            "{{component}}",
        ),
    ),
    graph(
        "Pressure",
        "Share of time in which some task waited for CPU, memory or I/O. No data means that the "
        "kernel does not count it.",
        "percentunit",
        ("rate(node_pressure_cpu_waiting_seconds_total{@}[$__rate_interval])", "{{component}} CPU"),
        (
            "rate(node_pressure_memory_waiting_seconds_total{@}[$__rate_interval])",
            "{{component}} memory",
        ),
        ("rate(node_pressure_io_waiting_seconds_total{@}[$__rate_interval])", "{{component}} I/O"),
    ),
)

MEMORY = (
    graph(
        "Memory use",
        "Memory in use of each node, of what it has.",
        "percent",
        ('noetl_system_memory_usage_percent{@,component_type="node_agent"}', "{{component}}"),
        top=100,
    ),
    graph(
        "Memory by kind",
        "Where the chosen nodes' memory is: programs, caches that can be given back, free.",
        "bytes",
        ("sum(node_memory_AnonPages_bytes{@})", "programs"),
        ("sum(node_memory_Cached_bytes{@})", "page cache"),
        ("sum(node_memory_Buffers_bytes{@})", "buffers"),
        ("sum(node_memory_Slab_bytes{@})", "kernel"),
        ("sum(node_memory_MemFree_bytes{@})", "free"),
    ),
    graph(
        "Swap in use",
        "Swap that holds pages. Nodes without swap show 0.",
        "bytes",
        (
            "node_memory_SwapTotal_bytes{@} - node_memory_SwapFree_bytes{@}",
            "{{component}}",
        ),
    ),
    graph(
        "Kills for want of memory",
        "Processes that the kernel ended since memory ran out.",
        "short",
        ("increase(node_vmstat_oom_kill{@}[$__rate_interval])", "{{component}}"),
    ),
)

DISKS = (
    graph(
        "File systems",
        "Use of each file system, counting what only root may use as used.",
        "percent",
        (FILESYSTEM, "{{component}} {{mountpoint}}"),
        top=100,
    ),
    graph(
        "Inodes",
        "Inodes in use of each file system. File systems without inodes are left out.",
        "percent",
        (
            "100 * (1 - node_filesystem_files_free{@} / (node_filesystem_files{@} > 0))",
            "{{component}} {{mountpoint}}",
        ),
        top=100,
    ),
    graph(
        "Disk throughput",
        "Bytes read and written per second.",
        "Bps",
        ("rate(node_disk_read_bytes_total{@}[$__rate_interval])", WHERE + " read"),
        ("rate(node_disk_written_bytes_total{@}[$__rate_interval])", WHERE + " written"),
    ),
    graph(
        "Disk busy",
        "Share of time in which a disk had work.",
        "percentunit",
        ("rate(node_disk_io_time_seconds_total{@}[$__rate_interval])", WHERE),
    ),
)

NETWORK = (
    graph(
        "Network throughput",
        "Bits received and sent per second, without the loopback.",
        "bps",
        (
            '8 * rate(node_network_receive_bytes_total{@,device!="lo"}[$__rate_interval])',
            WHERE + " in",
        ),
        (
            '8 * rate(node_network_transmit_bytes_total{@,device!="lo"}[$__rate_interval])',
            WHERE + " out",
        ),
    ),
    graph(
        "Network errors and drops",
        "Packets per second that were broken or dropped.",
        "pps",
        ("rate(node_network_receive_errs_total{@}[$__rate_interval])", WHERE + " errors in"),
        ("rate(node_network_transmit_errs_total{@}[$__rate_interval])", WHERE + " errors out"),
        ("rate(node_network_receive_drop_total{@}[$__rate_interval])", WHERE + " drops in"),
        ("rate(node_network_transmit_drop_total{@}[$__rate_interval])", WHERE + " drops out"),
    ),
    graph(
        "TCP",
        "Connections that are open, and segments per second that had to be sent again.",
        "short",
        ("node_netstat_Tcp_CurrEstab{@}", "{{component}} open"),
        ("rate(node_netstat_Tcp_RetransSegs{@}[$__rate_interval])", "{{component}} sent again"),
    ),
    graph(
        "Processes",
        "Processes that run or wait for a disk.",
        "short",
        ("node_procs_running{@}", "{{component}} run"),
        ("node_procs_blocked{@}", "{{component}} wait for a disk"),
    ),
)

NODE_TABLE = (
    table(
        "Nodes",
        "Age of each node, from its boot.",
        "s",
        "sort_desc(node_time_seconds{@} - node_boot_time_seconds{@})",
    ),
)

DASHBOARD = Dashboard(
    uid="noetl-system",
    title="NoETL / System",
    description="CPU, memory, disks and network of the nodes, as their agents report them.",
    anchor=NODES,
    components=NODES,
    restarts="changes(node_boot_time_seconds{@}[$__rate_interval]) > 0",
    versions="noetl_agent_build_info{@} unless noetl_agent_build_info{@} offset $__rate_interval",
    rows=(
        ("Overview", OVERVIEW),
        ("CPU", CPU),
        ("Memory", MEMORY),
        ("Disks", DISKS),
        ("Network and processes", NETWORK),
        ("Nodes", NODE_TABLE),
    ),
)
