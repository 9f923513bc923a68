-- Prosody 0.12 for rota. Copy it to /etc/prosody/prosody.cfg.lua as it is, and mod_rota_acks.lua beside it to
-- /etc/prosody/modules.
--
-- What is particular to a place comes from the environment (for the service: a drop-in with
-- Environment= lines, `systemctl edit prosody`). Without any of it this is a server for
-- lab.example with the paths of the Debian package.
--
--   ROTA_DOMAIN   the domain of the accounts          ROTA_DATA  data folder
--   ROTA_CERT, ROTA_KEY  certificate chain and key    ROTA_LOG   log file; "console" for stderr
--   ROTA_LISTEN, ROTA_PORT   address and port for clients
--   ROTA_MODULES  where mod_rota_acks.lua is
--   ROTA_SCRATCH  set for a throw-away server: may run as root, keeps its pid file in ROTA_DATA
--
-- Every line that differs from the package's default says why.

local function env(name, default)
	local value = os.getenv(name);
	if value == nil or value == "" then
		return default;
	end
	return value;
end
local domain = env("ROTA_DOMAIN", "lab.example");
local data = env("ROTA_DATA", "/var/lib/prosody");
local scratch = env("ROTA_SCRATCH") ~= nil;

data_path = data;
pidfile = scratch and data .. "/prosody.pid" or "/run/prosody/prosody.pid";
-- Only a scratch server, whose files belong to whoever started it, stays root when root starts it.
run_as_root = scratch;

-- Where mod_rota_acks.lua is looked for beside the package's own modules.
plugin_paths = { env("ROTA_MODULES", "/etc/prosody/modules") };
-- The package enables more; these are what targets, controllers and people with an IM client use.
modules_enabled = {
	"roster"; "saslauth"; "tls"; "disco"; "posix";
	"smacks"; -- stream management: a dead session is noticed and its unread messages return to the queue
	"rota_acks"; -- the file beside this one: a pulled cable shows in seconds
	"offline"; -- messages to a machine that is switched off
	"ping"; "time"; "uptime"; "version";
	"carbons"; "blocklist"; "pep"; "private"; "vcard4"; "vcard_legacy"; -- people's IM clients
	"admin_shell"; -- `prosodyctl shell`
	-- not "limits": its 10 kB/s a client would stretch 1 MB of test output to 100 seconds
	-- not "register", "invites": accounts are made by the administrator
	-- not "csi_simple": it holds presence back from idle clients; a controller must know at once
}

-- Not federated: a lab's machines have nothing to say to other servers (default: enabled).
modules_disabled = { "s2s"; }

c2s_interfaces = { env("ROTA_LISTEN", "*") };
c2s_ports = { tonumber(env("ROTA_PORT", "5222")) };
-- The package listens for TLS from the first byte on 5223 too; rota uses STARTTLS on one port only.
c2s_direct_tls_ports = {};
-- Default, stated because everything rests on it: no password and no command without TLS.
c2s_require_encryption = true;
-- Default, stated because both ends count on it: a larger stanza closes the stream.
c2s_stanza_size_limit = 262144;

network_settings = {
	-- Default true: one line of output waited for the peer's delayed ACK, 44 ms a round trip.
	nagle = false;
	-- Default 1 ms: the loop slept between polls even with work to do, 4 ms a message.
	min_wait = 0;
	-- Default 8 KiB: with 16 to 48 KiB chunks that is several wake-ups a stanza.
	read_size = 65536;
	-- Default false, stated because it tempts: true saves a turn of the loop, and a client that dies at the wrong
	-- moment then leaves Prosody 0.12 spinning for ever.
	opportunistic_writes = false;
	-- Default 840 s: after so long without a byte the server asks for an acknowledgement. Controllers ping more often
	-- than that; this is for when none runs. Not shorter: who has a stanza under way when this runs out is thrown
	-- out, however fresh the stanza is.
	read_timeout = 15;
	-- Default 180 s: a peer that takes no bytes for so long is dead, and its messages go back to the queue.
	send_timeout = 5;
	-- Default 128: after a restart of the server every machine comes back at once.
	tcp_backlog = 4096;
}

-- Default 500: beyond it the oldest unacknowledged stanza is dropped without a word.
smacks_max_queue_size = 5000;
-- Default 600 s: a session whose connection broke would look present for so long. rota never
-- resumes a session, so it ends at once and what it had not read is stored again.
smacks_hibernation_time = 0;
-- Default 30 s: how long an acknowledgement may be missing; after a second more of silence rota_acks ends the session.
smacks_max_ack_delay = 2;

-- Where other certificates are looked for; a scratch server has none.
certificates = scratch and data or "certs";

authentication = "internal_hashed";
-- Default SHA-1.
password_hash = "SHA-256";

-- Default, stated because it is what survives a kill: files, written when the message is accepted.
storage = "internal";

local log_file = env("ROTA_LOG", "/var/log/prosody/prosody.log");
if log_file == "console" then
	log = { { levels = { min = "info" }, to = "console" } };
else
	log = { { levels = { min = "info" }, to = "file", filename = log_file } };
end

VirtualHost(domain)
	ssl = {
		-- Given by path, because a private authority's files need not be in the package's "certs" folder.
		certificate = env("ROTA_CERT", "/etc/prosody/certs/" .. domain .. ".crt");
		key = env("ROTA_KEY", "/etc/prosody/certs/" .. domain .. ".key");
	}
