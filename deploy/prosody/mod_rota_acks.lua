-- Ends a session that has not acknowledged (XEP-0198) for smacks_max_ack_delay seconds.
--
-- mod_smacks asks after each stanza, and reports an answer that is late, but does nothing about it: a machine whose
-- cable was pulled would look present until read_timeout. The session ends here as if its connection had broken: presence
-- goes out at once, and what was not read is stored again.
--
-- Install: copy it to /etc/prosody/modules (see plugin_paths in prosody.cfg.lua).
module:depends("smacks");

module:hook("smacks-ack-delayed", function (event)
	local session = event.origin;
	if session.type ~= "c2s" then
		return;
	end
	session.log("info", "No acknowledgement in time, the session ends");
	session:close({ condition = "connection-timeout"; text = "no acknowledgement in time" });
end);
