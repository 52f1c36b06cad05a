package databrickstest

import "strconv"

type statementError struct {
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

type statementStatus struct {
	State string          `json:"state"`
	Error *statementError `json:"error,omitempty"`
}

type columnInfo struct {
	Name     string `json:"name"`
	Position int    `json:"position"`
	TypeName string `json:"type_name"`
	TypeText string `json:"type_text"`
}

type chunkInfo struct {
	Index  int `json:"chunk_index"`
	Offset int `json:"row_offset"`
	Count  int `json:"row_count"`
}

type manifest struct {
	Format string `json:"format"`
	Schema struct {
		Count   int          `json:"column_count"`
		Columns []columnInfo `json:"columns"`
	} `json:"schema"`
	Chunks     []chunkInfo `json:"chunks,omitempty"`
	ChunkCount int         `json:"total_chunk_count"`
	RowCount   int         `json:"total_row_count"`
	Truncated  bool        `json:"truncated"`
}

type chunkData struct {
	chunkInfo
	Rows     [][]*string `json:"data_array,omitempty"`
	Next     *int        `json:"next_chunk_index,omitempty"`
	NextLink string      `json:"next_chunk_internal_link,omitempty"`
}

type statementReply struct {
	ID       string          `json:"statement_id"`
	Status   statementStatus `json:"status"`
	Manifest *manifest       `json:"manifest,omitempty"`
	Result   *chunkData      `json:"result,omitempty"`
}

// statement answers how a statement stands, with its first chunk once it has
// succeeded.
func (r *request) statement(t *statement) statementReply {
	answer := statementReply{ID: t.id, Status: statementStatus{State: t.look(r.now)}}
	switch answer.Status.State {
	case stateFailed:
		answer.Status.Error = &statementError{t.outcome.code, t.outcome.message}
	case stateSucceeded:
		answer.Manifest = r.manifest(t)
		first := &chunkData{}
		if answer.Manifest.ChunkCount > 0 {
			*first = r.chunk(t, 0)
		}
		answer.Result = first
	}
	return answer
}

// chunks is how many chunks a result has: none when it has no rows.
func (r *request) chunks(t *statement) int {
	size := r.server.config.ChunkRows
	return (len(t.outcome.rows) + size - 1) / size
}

func (r *request) chunkInfo(t *statement, index int) chunkInfo {
	size := r.server.config.ChunkRows
	return chunkInfo{index, index * size, min(size, len(t.outcome.rows)-index*size)}
}

func (r *request) manifest(t *statement) *manifest {
	m := &manifest{Format: "JSON_ARRAY", ChunkCount: r.chunks(t), RowCount: len(t.outcome.rows), Truncated: t.outcome.truncated}
	for i, name := range t.outcome.columns {
		m.Schema.Columns = append(m.Schema.Columns, columnInfo{name, i, "STRING", "STRING"})
	}
	m.Schema.Count = len(m.Schema.Columns)
	for i := range m.ChunkCount {
		m.Chunks = append(m.Chunks, r.chunkInfo(t, i))
	}
	return m
}

func (r *request) chunk(t *statement, index int) chunkData {
	data := chunkData{chunkInfo: r.chunkInfo(t, index)}
	for _, row := range t.outcome.rows[data.Offset : data.Offset+data.Count] {
		values := make([]*string, len(row))
		for i := range row {
			if row[i] != Null {
				values[i] = &row[i]
			}
		}
		data.Rows = append(data.Rows, values)
	}
	if next := index + 1; next < r.chunks(t) {
		data.Next = &next
		data.NextLink = "/api/2.0/sql/statements/" + t.id + "/result/chunks/" + strconv.Itoa(next)
	}
	return data
}
