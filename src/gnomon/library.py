"""library: what `import gnomon` offers: the machine of vm/, and its way to another process, which is the layer above."""

from __future__ import annotations

from gnomon.migrate import Options, migrate
from gnomon.vm import machine


class Machine(machine.Machine):
    """A machine that can also move; see gnomon.vm.machine.Machine for everything else."""

    def migrate_to(self, address: str, **options):
        """Move live to the receiver at "HOST:PORT" (`gnomon receive`). `options` are those of gnomon.migrate.Options.

        Returns the migration's report; this machine is stopped then. Raises GnomonError, the guest running on here, when it fails."""
        return migrate(self, address, options=Options(**options))
