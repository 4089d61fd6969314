"""Uses a TES server as its clients do, and checks what it answers. Arguments: address, token, lab, image.

py-tes is the client that Snakemake's TES executor uses; pydantic-tes has models that were generated from the published
OpenAPI, and refuses what does not fit them. Every answer is validated against the published document of version 1.1 too,
which lies beside this file; BEAMTIME_TES_OPENAPI names another one.
"""

import copy
import json
import os
import pathlib
import sys

import requests
import tes
import yaml
from openapi_schema_validator import OAS30Validator
from pydantictes.models import TesListTasksResponse, TesServiceInfo, TesTask

address, token, lab, image = sys.argv[1:5]
base = f"{address}/ga4gh/tes/v1"
session = requests.Session()
session.auth = ("me", token)


def published_validator():
    beside = pathlib.Path(__file__).parent / "published" / "task_execution_service.openapi.yaml"
    with open(os.environ.get("BEAMTIME_TES_OPENAPI", beside), encoding="utf-8") as file:
        document = yaml.safe_load(file)
    schemas = document["components"]["schemas"]
    # The base of service info is another document of GA4GH; what it demands is written out below.
    for name in ("tesServiceType", "tesServiceInfo"):
        schemas[name]["allOf"] = [part for part in schemas[name]["allOf"] if "$ref" not in part]
    schemas["tesServiceInfo"]["allOf"].append(
        {"required": ["id", "name", "type", "organization", "version"]}
    )
    # MINIMAL tasks have id and state only, by the text of the same document.
    minimal = copy.deepcopy(schemas["tesTask"])
    minimal.pop("required")
    schemas["minimalTask"] = minimal

    def check(name, value):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        errors = [error.message for error in OAS30Validator(schema).iter_errors(value)]
        assert errors == [], f"{name}: {errors}"

    return check


published = published_validator()


def get(path, schema, **query):
    response = session.get(f"{base}{path}", params=query, timeout=30)
    response.raise_for_status()
    value = response.json()
    if schema == "list-minimal":
        for task in value["tasks"]:
            published("minimalTask", task)
    else:
        published(schema, value)
    return value


TesServiceInfo(**get("/service-info", "tesServiceInfo"))

client = tes.HTTPClient(address, timeout=30, user="me", password=token)
assert client.get_service_info().type["artifact"] == "tes"
task = tes.Task(
    name="py-tes",
    description="from a real client",
    tags={"client": "py-tes"},
    resources=tes.Resources(cpu_cores=1, ram_gb=0.1, preemptible=True),
    inputs=[tes.Input(path="/in/greeting", content="hello\n", type="FILE")],
    outputs=[tes.Output(path="/out/shout", url=f"beamtime://{lab}/py-tes/shout", type="FILE")],
    volumes=["/vol"],
    executors=[
        tes.Executor(image=image, command=["tr", "a-z", "A-Z"], stdin="/in/greeting", stdout="/vol/shout"),
        tes.Executor(image=image, command=["cp", "/vol/shout", "/out/shout"]),
    ],
)
task_id = client.create_task(task)
done = client.wait(task_id, timeout=120)
full = client.get_task(task_id, view="FULL")
assert done.state == "COMPLETE", json.dumps(full.as_dict(), default=str)
assert [log.exit_code for log in full.logs[0].logs] == [0, 0]
assert full.logs[0].outputs[0].size_bytes == 6, full.logs[0].outputs[0]
assert full.inputs[0].content == "hello\n"

failed = client.create_task(tes.Task(executors=[tes.Executor(image=image, command=["sh", "-c", "exit 7"])]))
assert client.wait(failed, timeout=120).state == "EXECUTOR_ERROR"
long = client.create_task(tes.Task(executors=[tes.Executor(image=image, command=["sleep", "600"])]))
client.cancel_task(long)
assert client.get_task(long, view="MINIMAL").state in ("CANCELED", "CANCELING")

# What a client of pydantic-tes sends has a null for all that is left out.
sent = TesTask(executors=[{"image": image, "command": ["true"]}]).model_dump_json()
made = session.post(f"{base}/tasks", data=sent, headers={"content-type": "application/json"}, timeout=30)
made.raise_for_status()
published("tesCreateTaskResponse", made.json())
client.wait(made.json()["id"], timeout=120)

for view in ("BASIC", "FULL"):
    for one in (task_id, failed, made.json()["id"]):
        TesTask(**get(f"/tasks/{one}", "tesTask", view=view))
    TesListTasksResponse(**get("/tasks", "tesListTasksResponse", view=view, state="COMPLETE"))
assert set(get(f"/tasks/{task_id}", "minimalTask", view="MINIMAL")) == {"id", "state"}
get("/tasks", "list-minimal")
page = client.list_tasks(view="MINIMAL", page_size=2)
assert len(page.tasks) == 2 and page.next_page_token
more = client.list_tasks(view="MINIMAL", page_size=2, page_token=page.next_page_token)
assert {one.id for one in more.tasks}.isdisjoint({one.id for one in page.tasks})
tagged = get("/tasks", "list-minimal", tag_key="client", tag_value="py-tes")
assert [one["id"] for one in tagged["tasks"]] == [task_id]
cancelled = session.post(f"{base}/tasks/{made.json()['id']}:cancel", timeout=30)
cancelled.raise_for_status()
published("tesCancelTaskResponse", cancelled.json())
print("all answers fit")
