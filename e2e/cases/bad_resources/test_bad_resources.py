"""Bad resources: refused by the API server with the field and a reason (e2e/bad), or, where only
the cluster can know, told in a condition."""

import subprocess

from support import kube, operator
from support.kube import Namespace
from support.operator import DATABASE, GOOD, ROOT, Installation, resource
from support.wait import until


def test_refused_with_the_field_and_the_reason(definition: None, space: Namespace):
    script = [f"{ROOT}/e2e/bad/run.sh", space.name]
    done = subprocess.run(script, capture_output=True, text=True, timeout=240)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_least_is_taken(definition: None, space: Namespace):
    """What is refused above is refused for what is wrong with it."""
    space.apply(resource("noetl", GOOD))


def test_missing_secret_is_told_and_heals(installed: None, space: Namespace, postgres):
    installation = Installation(space).apply()

    def names_it() -> bool:
        return DATABASE in kube.condition(installation.get(), "Ready")["message"]

    until("the condition names the Secret", names_it, seconds=60)
    space.apply(kube.secret(DATABASE, url=postgres.url))
    # The kubelet tries a volume again after some time, up to two minutes.
    installation.ready(seconds=180)


def test_wrong_password_is_told_and_heals(installed: None, space: Namespace, postgres):
    space.apply(kube.secret(DATABASE, url=postgres.url.replace(postgres.password, "wrong")))
    installation = Installation(space).apply()

    def says_it() -> bool:
        return "password" in kube.condition(installation.get(), "Ready")["message"]

    until("the condition says what PostgreSQL said", says_it, seconds=90)
    space.apply(kube.secret(DATABASE, url=postgres.url))
    installation.ready(seconds=180)


def test_image_that_is_not_there_is_told(installation: Installation):
    reference = "localhost/there-is-no-such-image:1"
    installation.apply(image={"reference": reference, "pullPolicy": "Never"})

    def names_it() -> bool:
        return reference in kube.condition(installation.get(), "Ready")["message"]

    until("the condition names the image", names_it, seconds=60)
    assert operator.pods()
