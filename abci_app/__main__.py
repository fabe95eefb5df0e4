"""`python -m abci_app --home DIR --address unix:///path/to/socket`: the ledger of one node, for its CometBFT."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path
from types import FrameType

from abci_app.application import Application
from abci_app.beacon_file import BeaconFileError, BeaconSecret
from abci_app.server import AddressError, Server, ServerFailed
from abci_app.state_machine import FindPreimage, GenesisError, StateMachine, find_nothing
from abci_app.store import Store, StoreError

DATABASE_NAME = "ledger.db"


def run(store: Store, ledger: StateMachine, address: str, find_preimage: FindPreimage = find_nothing) -> None:
    """Serve `ledger` over `store` until SIGTERM or SIGINT, and close the store; main thread only.

    Raises AddressError, StoreError, GenesisError, and ServerFailed for a bug.
    """
    try:
        server = Server(address, Application(store, ledger, find_preimage).answer)

        def stop(signal_number: int, frame: FrameType | None) -> None:
            server.stop()

        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, stop)
        print(f"the ledger is at height {store.height} and listens at {address}", flush=True)
        server.serve()
    except ServerFailed as failure:
        if isinstance(failure.__cause__, GenesisError | StoreError):
            raise failure.__cause__ from None
        raise
    finally:
        store.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="abci_app", description="The ledger of one node, for its CometBFT.")
    parser.add_argument("--home", type=Path, required=True, help="folder of the database; made if it is not there")
    parser.add_argument("--address", required=True, help="unix:///path/to/socket or tcp://127.0.0.1:port")
    parser.add_argument("--beacon", type=Path, help="secret of its hash chains; without, it reveals nothing")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    from abci_app import ledger  # after the arguments: a wrong one is answered at once

    try:
        find_preimage = find_nothing if arguments.beacon is None else BeaconSecret(arguments.beacon).find_preimage
        run(Store(arguments.home / DATABASE_NAME), ledger, arguments.address, find_preimage)
    except (AddressError, BeaconFileError, StoreError, GenesisError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
