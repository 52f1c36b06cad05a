"""Ask Spark the audit's statements and compare its rows with those expected.

Usage: spark.py DIRECTORY SQL_DIRECTORY, where DIRECTORY is what sqlcheck wrote.
The statements are run as they are; the table has the columns that Databricks
documents for system.access.audit.
"""

import json
import pathlib
import sys

from pyspark.sql import SparkSession

COLUMNS = """
  account_id STRING, workspace_id STRING, version STRING, event_time TIMESTAMP, event_date DATE,
  source_ip_address STRING, user_agent STRING, session_id STRING,
  user_identity STRUCT<email: STRING, subject_name: STRING>,
  service_name STRING, action_name STRING, request_id STRING, request_params MAP<STRING, STRING>,
  response STRUCT<status_code: INT, error_message: STRING, result: STRING>,
  audit_level STRING, event_id STRING, identity_metadata STRUCT<run_by: STRING, run_as: STRING>
"""


def text(value):
    return value if value is None else str(value)


def main(directory, statements):
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.sql.shuffle.partitions", "2")
        # Most of the time would go into compiling plans for tables this small.
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        # Nothing may depend on where a warehouse's clock is.
        .config("spark.sql.session.timeZone", "Pacific/Kiritimati")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    events = spark.read.schema(COLUMNS).option("mode", "FAILFAST").json(str(directory / "events.jsonl")).cache()
    events.createOrReplaceTempView("audit")
    print(f"Spark {spark.version}: {events.count()} events")
    wrong = 0
    for question in json.loads((directory / "questions.json").read_text(encoding="utf-8")):
        statement = (statements / question["file"]).read_text(encoding="utf-8")
        table = spark.sql(statement, args=question["parameters"])
        rows = [[text(value) for value in row] for row in table.collect()]
        same = table.columns == question["columns"] and rows == question["rows"]
        print(f"{'same' if same else 'DIFFERENT'}  {question['file']:22} {len(rows):5} rows  {question['name']}")
        if not same:
            wrong += 1
            print("  columns", table.columns)
            for got, want in list(zip(rows + [None] * len(question["rows"]), question["rows"] + [None] * len(rows))):
                if got != want:
                    print("  Spark   ", got, "\n  expected", want)
                    break
    spark.stop()
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])) else 0)
