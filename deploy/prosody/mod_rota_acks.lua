-- Ends a session that has not acknowledged (XEP-0198) for smacks_max_ack_delay seconds and sent nothing for one more.
--
-- mod_smacks asks after each stanza, and reports an answer that is late, but does nothing about it: a machine whose
-- cable was pulled would look present until read_timeout. The session ends here as if its connection had broken: presence
-- goes out at once, and what was not read is stored again. Who still sends is alive: its answer stands in line behind
-- what a busy server has not come to yet.
--
-- Install: copy it to /etc/prosody/modules (see plugin_paths in prosody.cfg.lua).
local filters = require "util.filters";

module:depends("smacks");

local look_again = 1;

module:hook("resource-bind", function (event)
	local session = event.session;
	session.rota_reads = 0;
	filters.add_filter(session, "bytes/in", function (data)
		session.rota_reads = session.rota_reads + 1;
		return data;
	end);
end);

module:hook("smacks-ack-delayed", function (event)
	local session = event.origin;
	local reads = session.rota_reads;
	if not reads or session.rota_looks then
		return;
	end
	session.rota_looks = true;
	module:add_timer(look_again, function ()
		if session.destroyed or not session.awaiting_ack then
			session.rota_looks = nil;
			return;
		end
		if session.rota_reads ~= reads then
			reads = session.rota_reads;
			return look_again;
		end
		session.log("info", "No acknowledgement in time, the session ends");
		session:close({ condition = "connection-timeout"; text = "no acknowledgement in time" });
	end);
end);
